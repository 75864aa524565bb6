//! Creates sessions, and ends sessions and runs.

use std::time::Duration;

use anyhow::Result;
use proto::v1::{CancelRunRequest, CancelSessionRequest, CloseSessionRequest, CreateSessionRequest};
use rand::RngExt;
use uuid::Uuid;

use super::state::Client;
use crate::history::{Status, What};

/// The longest grace of a cancel.
const GRACE: Duration = Duration::from_secs(3);

impl Client {
    pub(super) async fn create_session(&mut self) -> Result<()> {
        let request_id = self.unique("session");
        let request = CreateSessionRequest { name: request_id.clone(), request_id, ..CreateSessionRequest::default() };
        let mut calls = self.caller.sessions();
        if let Ok(answer) = self.caller.call(calls.create_session(request)).await {
            let session = answer.session.unwrap_or_default();
            let session = Uuid::parse_str(&session.id)?;
            self.recorder.record(What::SessionCreated { session })?;
            self.known.add_session(session);
        }
        Ok(())
    }

    /// Closes or cancels a session in which others may be enqueuing. The final state shows whether that is consistent.
    pub(super) async fn end_session(&mut self) -> Result<()> {
        let Some(session_id) = self.known.take_session(&mut self.rng).map(|id| id.to_string()) else { return Ok(()) };
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

    pub(super) async fn cancel(&mut self) -> Result<()> {
        let Some(run) = self.known.run(&mut self.rng) else { return Ok(()) };
        let grace = prost_types::Duration::try_from(self.rng.random_range(Duration::ZERO..GRACE))?;
        let request = CancelRunRequest { run_id: run.to_string(), reason: self.unique("cancel"), grace: Some(grace) };
        self.recorder.record(What::CancelAsked { run })?;
        let mut calls = self.caller.runs();
        let what = match self.caller.call(calls.cancel_run(request)).await {
            Ok(answer) => match answer.run.and_then(|run| Status::of_wire(run.status)) {
                Some(status) => What::CancelAnswered { run, status },
                None => What::CancelFailed { run, code: "no status".into() },
            },
            Err(failure) => What::CancelFailed { run, code: failure.code },
        };
        Ok(self.recorder.record(what)?)
    }
}
