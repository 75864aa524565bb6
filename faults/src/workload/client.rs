//! A client: enqueues, cancels, reads and waits, as its dice say.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use proto::v1::{
    CancelRunRequest, CancelSessionRequest, CloseSessionRequest, CreateSessionRequest, GetRunRequest, Run,
    WaitRunRequest,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Book, Caller};
use crate::history::{Recorder, Status, What};

/// The longest wait for one run.
const WAIT: Duration = Duration::from_secs(3);
/// The longest pause between two calls.
const PAUSE: Duration = Duration::from_millis(50);

/// One client.
#[derive(Debug)]
pub struct Client {
    pub(super) name: String,
    pub(super) caller: Caller,
    pub(super) book: Arc<Book>,
    pub(super) recorder: Recorder,
    pub(super) rng: StdRng,
    /// Of calls and keys, each of which is unique with the client's name.
    pub(super) number: u64,
}

impl Client {
    pub fn new(name: &str, caller: Caller, book: Arc<Book>, recorder: Recorder, seed: u64) -> Self {
        Self { name: name.to_owned(), caller, book, recorder, rng: StdRng::seed_from_u64(seed), number: 0 }
    }

    /// Works until it is told to stop, ends what it has begun, and does a little of everything once more.
    ///
    /// # Errors
    ///
    /// When its history can not be written.
    pub async fn run(mut self, stop: CancellationToken) -> Result<()> {
        self.create_session().await?;
        while !stop.is_cancelled() {
            match self.rng.random_range(0..100) {
                0..45 => self.enqueue_one().await?,
                45..52 => self.enqueue_many().await?,
                52..64 => self.cancel().await?,
                64..80 => self.look().await?,
                80..87 => self.wait().await?,
                87..95 => self.count().await?,
                95 => self.end_session().await?,
                _ => self.create_session().await?,
            }
            let pause = self.rng.random_range(Duration::ZERO..PAUSE);
            let _stopped = tokio::time::timeout(pause, stop.cancelled()).await;
        }
        // Nothing is broken any more, so that each client has seen something, whatever was done to it.
        self.create_session().await?;
        self.enqueue_one().await?;
        self.look().await?;
        self.count().await
    }

    /// A name that nobody else uses.
    pub(super) fn unique(&mut self, what: &str) -> String {
        self.number += 1;
        format!("{}-{what}{}", self.name, self.number)
    }

    async fn create_session(&mut self) -> Result<()> {
        let request_id = self.unique("session");
        let request = CreateSessionRequest { name: request_id.clone(), request_id, ..CreateSessionRequest::default() };
        let mut calls = self.caller.sessions();
        if let Ok(answer) = self.caller.call(calls.create_session(request)).await {
            let session = answer.session.unwrap_or_default();
            let session = Uuid::parse_str(&session.id)?;
            self.recorder.record(What::SessionCreated { session })?;
            self.book.add_session(session);
        }
        Ok(())
    }

    /// Closes or cancels a session in which others may just enqueue; whether that is answered shows in the end.
    async fn end_session(&mut self) -> Result<()> {
        let Some(session_id) = self.book.take_session(&mut self.rng).map(|id| id.to_string()) else { return Ok(()) };
        let mut calls = self.caller.sessions();
        if self.rng.random_bool(0.5) {
            let request = CloseSessionRequest { session_id };
            let _shows_in_the_end = self.caller.call(calls.close_session(request)).await;
        } else {
            let request = CancelSessionRequest { session_id, reason: self.unique("cancel"), grace: None };
            let _shows_in_the_end = self.caller.call(calls.cancel_session(request)).await;
        }
        Ok(())
    }

    async fn cancel(&mut self) -> Result<()> {
        let Some(run) = self.book.run(&mut self.rng) else { return Ok(()) };
        let grace = prost_types::Duration::try_from(self.rng.random_range(Duration::ZERO..WAIT))?;
        let request = CancelRunRequest { run_id: run.to_string(), reason: self.unique("cancel"), grace: Some(grace) };
        self.recorder.record(What::CancelAsked { run })?;
        let mut calls = self.caller.runs();
        let what = match self.caller.call(calls.cancel_run(request)).await {
            Ok(answer) => match answer.run.and_then(|run| Status::of_wire(run.status)) {
                Some(status) => What::CancelAnswered { run, status },
                None => What::CancelFailed { run, code: "no status".into() },
            },
            Err(refusal) => What::CancelFailed { run, code: refusal.code },
        };
        Ok(self.recorder.record(what)?)
    }

    async fn look(&mut self) -> Result<()> {
        let Some(run) = self.book.run(&mut self.rng) else { return Ok(()) };
        let mut calls = self.caller.runs();
        match self.caller.call(calls.get_run(GetRunRequest { run_id: run.to_string() })).await {
            Ok(answer) => self.seen(answer.run.as_ref()),
            Err(_) => Ok(()),
        }
    }

    async fn wait(&mut self) -> Result<()> {
        let Some(run) = self.book.run(&mut self.rng) else { return Ok(()) };
        let request = WaitRunRequest { run_id: run.to_string(), wait_timeout: Some(WAIT.try_into()?) };
        let mut calls = self.caller.runs();
        match self.caller.call_for(WAIT * 3, calls.wait_run(request)).await {
            Ok(answer) => self.seen(answer.run.as_ref()),
            Err(_) => Ok(()),
        }
    }

    pub(super) fn seen(&self, run: Option<&Run>) -> Result<()> {
        let Some(run) = run else { return Ok(()) };
        let (Ok(id), Some(status)) = (Uuid::parse_str(&run.id), Status::of_wire(run.status)) else { return Ok(()) };
        let Run { revision, fence, attempt, .. } = *run;
        Ok(self.recorder.record(What::RunSeen { run: id, status, revision, fence, attempt })?)
    }
}
