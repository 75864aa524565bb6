//! Who enqueues.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use proto::v1::run_service_client::RunServiceClient;
use proto::v1::session_service_client::SessionServiceClient;
use proto::v1::{CreateSessionRequest, EnqueueRunRequest, EnqueueRunsRequest, Lane, RunSpec, run_spec};
use tokio::sync::mpsc;
use tonic::transport::Channel;

use crate::server::Server;
use crate::times::now;

/// The kind of all runs that are executed at once.
pub const KIND: &str = "bench";

/// Somebody with a session of its own.
#[derive(Debug, Clone)]
pub struct Caller {
    pub channel: Channel,
    pub session: String,
}

impl Caller {
    pub async fn new(server: &Server) -> Result<Self> {
        let channel = server.connect().await?;
        let request = CreateSessionRequest { name: "bench".to_owned(), ..CreateSessionRequest::default() };
        let answer = SessionServiceClient::new(channel.clone()).create_session(request).await?.into_inner();
        Ok(Self { channel, session: answer.session.context("a session was not answered")?.id })
    }

    pub fn runs(&self) -> RunServiceClient<Channel> {
        RunServiceClient::new(self.channel.clone())
    }

    /// A run that does nothing.
    pub fn spec(&self) -> RunSpec {
        RunSpec { session_id: self.session.clone(), lane: Lane::A.into(), kind: KIND.to_owned(), ..RunSpec::default() }
    }

    /// Enqueues so many runs in calls of `batch` runs, with so many calls at a time.
    pub async fn enqueue(&self, runs: usize, batch: usize, at_once: usize) -> Result<()> {
        let left = Arc::new(AtomicUsize::new(runs));
        let take = |left: &AtomicUsize| {
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(batch)))
                .map_or(0, |left| left.min(batch))
        };
        let caller = |_| {
            let (left, mut calls) = (Arc::clone(&left), self.runs());
            async move {
                loop {
                    match take(&left) {
                        0 => return Ok::<_, anyhow::Error>(()),
                        1 if batch == 1 => drop(calls.enqueue_run(EnqueueRunRequest { run: Some(self.spec()) }).await?),
                        some => {
                            drop(calls.enqueue_runs(EnqueueRunsRequest { runs: vec![self.spec(); some] }).await?);
                        }
                    }
                }
            }
        };
        try_join_all((0..at_once).map(caller)).await?;
        Ok(())
    }

    /// Enqueues one run that carries the moment at which it was due, for the worker to tell how long that was ago.
    pub async fn enqueue_due(&self, due: u64) -> Result<()> {
        let spec = RunSpec { params: Some(run_spec::Params::ParamsJson(due_params(due))), ..self.spec() };
        self.runs().enqueue_run(EnqueueRunRequest { run: Some(spec) }).await?;
        Ok(())
    }
}

fn due_params(due: u64) -> String {
    format!("{{\"due\":{due}}}")
}

/// When a run was due, if its params say it.
pub fn due_of(params: &str) -> Option<u64> {
    // The server may write the object with blanks of its own.
    let digits = params.split_once("\"due\":")?.1.trim_start();
    digits[..digits.find(|c: char| !c.is_ascii_digit())?].parse().ok()
}

/// Calls `work` at a fixed pace for so many times, whether or not it has been answered before: who is slow does not slow down
/// who asks, and each is timed from when it was due.
pub async fn at_pace<F>(per_second: f64, times: usize, work: impl Fn(u64) -> F) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let (ticks, mut ticking) = mpsc::unbounded_channel();
    // A thread, because the runtime's clock is only as fine as a millisecond, which would be part of what is measured.
    let pacer = std::thread::spawn(move || {
        let begin = now();
        for number in 0..times {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "nanoseconds of some minutes")]
            let due = begin + (number as f64 * 1e9 / per_second) as u64;
            std::thread::sleep(Duration::from_nanos(due.saturating_sub(now())));
            if ticks.send(due).is_err() {
                return;
            }
        }
    });
    let mut calls = tokio::task::JoinSet::new();
    while let Some(due) = ticking.recv().await {
        calls.spawn(work(due));
        while let Some(done) = calls.try_join_next() {
            done??;
        }
    }
    while let Some(done) = calls.join_next().await {
        done??;
    }
    ensure!(pacer.join().is_ok(), "the pacer has panicked");
    Ok(())
}
