//! Reads a session's counters.

use anyhow::Result;
use proto::v1::GetSessionRequest;

use super::Client;
use crate::history::{Counters, What};

impl Client {
    pub(super) async fn count(&mut self) -> Result<()> {
        let Some(session) = self.book.session(&mut self.rng) else { return Ok(()) };
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
}
