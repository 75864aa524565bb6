//! How a worker leaves: it takes no more work, lets its handlers finish, and waits until every outcome is acknowledged. Its
//! own process gives it a bounded time for that, and handlers that do not finish are stopped. An operator's drain takes as
//! long as it takes: whoever wants a run stopped cancels it.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    api::{
        status::DrainedBy,
        stop::{StopCause, StopReason},
    },
    grant::reports::FLUSH_TIMEOUT,
    runtime::{
        attempt::STOP_GRACE,
        state::{Drain, Runtime},
        stream_state::StreamState,
    },
};

/// How long the server may take to end the stream after `Goodbye`.
pub(crate) const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

impl Runtime {
    /// The process ends, maybe during an operator's drain.
    pub(crate) fn shut_down(&mut self) {
        self.begin_drain(DrainedBy::Shutdown);
        if let Some(drain) = &mut self.drain {
            let stop_at = Instant::now() + self.setup.config.drain_timeout;
            drain.stop_at = Some(stop_at);
            drain.give_up_at = Some(stop_at + STOP_GRACE * 2 + FLUSH_TIMEOUT);
        }
    }

    pub(crate) fn begin_drain(&mut self, by: DrainedBy) {
        if self.drain.is_some() {
            return;
        }
        tracing::info!(?by, running = self.running.len(), "draining");
        self.summary.drained_by = by;
        self.drain = Some(Drain { stop_at: None, give_up_at: None });
        let Some(stream) = &mut self.stream else { return };
        // What was accepted may have been started by now, so its start is still waited for.
        for key in stream.accepts.drain(..) {
            self.grants.remove(key);
        }
        // Credit can not be taken back, and runs that the server still sends on it would wait until it notices that nobody
        // accepts them. A new stream has no credit, and what was not started goes back at once. That matters only while
        // handlers run, for a goodbye does the same; and an operator's drain is known to the server.
        if by == DrainedBy::Shutdown && !self.tasks.is_empty() && stream.credit.outstanding() > 0 {
            stream.broken.get_or_insert("left to give credit back");
            stream.is_end_expected = true;
        }
    }

    /// Handlers that did not finish in time are told to stop.
    pub(crate) fn stop_overdue(&mut self, now: Instant) {
        if let Some(drain) = &mut self.drain
            && drain.stop_at.is_some_and(|at| now >= at)
        {
            drain.stop_at = None;
            for (key, running) in &self.running {
                tracing::warn!(grant = %key, "handler did not finish within the drain timeout and is stopped");
                running.stop.request(StopReason {
                    cause: StopCause::Shutdown,
                    reason: "the worker shuts down".into(),
                    grace: STOP_GRACE,
                });
            }
        }
    }

    pub(crate) fn is_shutting_down(&self) -> bool {
        self.drain.as_ref().is_some_and(|drain| drain.give_up_at.is_some())
    }

    pub(crate) fn is_finished(&self, now: Instant) -> bool {
        let Some(drain) = &self.drain else { return false };
        if drain.give_up_at.is_some_and(|at| now >= at) {
            return true;
        }
        let said_goodbye = |stream: &StreamState| stream.goodbye.is_some_and(|said| now >= said + GOODBYE_TIMEOUT);
        self.is_quiet() && self.stream.as_ref().is_none_or(said_goodbye)
    }

    /// True if nothing runs and every outcome is acknowledged.
    pub(crate) fn is_quiet(&self) -> bool {
        self.grants.is_empty() && self.tasks.is_empty()
    }
}
