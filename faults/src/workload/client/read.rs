//! Reads runs and counters.

use std::time::Duration;

use anyhow::Result;
use proto::v1::{GetRunRequest, GetSessionRequest, Run, WaitRunRequest};
use uuid::Uuid;

use super::state::Client;
use crate::history::{Counters, Status, What};

/// The longest wait for one run.
const WAIT: Duration = Duration::from_secs(3);

impl Client {
    pub(super) async fn look(&mut self) -> Result<()> {
        let Some(run) = self.known.run(&mut self.rng) else { return Ok(()) };
        let mut calls = self.caller.runs();
        match self.caller.call(calls.get_run(GetRunRequest { run_id: run.to_string() })).await {
            Ok(answer) => self.seen(answer.run.as_ref()),
            Err(_) => Ok(()),
        }
    }

    pub(super) async fn wait(&mut self) -> Result<()> {
        let Some(run) = self.known.run(&mut self.rng) else { return Ok(()) };
        let request = WaitRunRequest { run_id: run.to_string(), wait_timeout: Some(WAIT.try_into()?) };
        let mut calls = self.caller.runs();
        match self.caller.call_for(WAIT * 3, calls.wait_run(request)).await {
            Ok(answer) => self.seen(answer.run.as_ref()),
            Err(_) => Ok(()),
        }
    }

    pub(super) async fn count(&mut self) -> Result<()> {
        let Some(session) = self.known.session(&mut self.rng) else { return Ok(()) };
        let mut calls = self.caller.sessions();
        let request = GetSessionRequest { session_id: session.to_string() };
        let Ok(answer) = self.caller.call(calls.get_session(request)).await else { return Ok(()) };
        let read = answer.session.unwrap_or_default();
        let counters = Counters {
            total: read.total_runs,
            succeeded: read.succeeded_runs,
            failed: read.failed_runs,
            cancelled: read.cancelled_runs,
        };
        Ok(self.recorder.record(What::CountersSeen { session, counters })?)
    }

    fn seen(&self, run: Option<&Run>) -> Result<()> {
        let Some(run) = run else { return Ok(()) };
        let (Ok(id), Some(status)) = (Uuid::parse_str(&run.id), Status::of_wire(run.status)) else { return Ok(()) };
        let Run { revision, fence, attempt, .. } = *run;
        Ok(self.recorder.record(What::RunSeen { run: id, status, revision, fence, attempt })?)
    }
}
