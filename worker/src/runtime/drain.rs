//! The end of a worker: it takes no more runs, lets its handlers finish, and waits until the server has acknowledged every
//! outcome. A shutdown of the process is bounded: the worker stops handlers that do not finish. An operator's drain has no
//! limit: to stop a run, the operator cancels it.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    api::{
        status::DrainedBy,
        stop::{StopCause, StopReason},
    },
    runtime::{drain_times::Drain, state::Runtime, stream_state::StreamState},
};

/// How long the server may take to end the stream after `Goodbye`.
pub(crate) const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

impl Runtime {
    /// Begins a shutdown, or bounds an operator's drain that is under way.
    pub(crate) fn shut_down(&mut self) {
        self.begin_drain(DrainedBy::Shutdown);
        if let Some(drain) = &mut self.drain {
            *drain = Drain::bounded(Instant::now(), self.setup.config.drain_timeout);
        }
    }

    pub(crate) fn begin_drain(&mut self, by: DrainedBy) {
        if self.drain.is_some() {
            return;
        }
        tracing::info!(?by, running = self.running.len(), "draining");
        self.summary.drained_by = by;
        self.drain = Some(Drain::default());
        let Some(stream) = &mut self.stream else { return };
        // A sent `Accept` may have been answered with a start, so those grants stay. These were not sent.
        for key in stream.accepts.drain(..) {
            self.grants.remove(key);
        }
        // The worker can not take credit back. The server may still send runs on it, and they would wait until the server
        // notices that nobody accepts them. So the worker opens a new stream, which has no credit, and the server gives back at
        // once what was not started. Without handlers a goodbye does the same, and in an operator's drain the server sends no
        // more runs anyway.
        if by == DrainedBy::Shutdown && !self.tasks.is_empty() && stream.credit.outstanding() > 0 {
            stream.broken.get_or_insert("left to give credit back");
            stream.is_end_expected = true;
        }
    }

    /// Asks handlers to stop that did not finish in time.
    pub(crate) fn stop_overdue(&mut self, now: Instant) {
        if let Some(drain) = &mut self.drain
            && drain.stop_at.is_some_and(|at| now >= at)
        {
            drain.stop_at = None;
            let grace = drain.grace;
            for (key, running) in &self.running {
                tracing::warn!(grant = %key, "handler did not finish within the drain timeout and is stopped");
                running.stop.request(StopReason {
                    cause: StopCause::Shutdown,
                    reason: "the worker shuts down".into(),
                    grace,
                });
            }
        }
    }

    /// Whether outcomes no longer wait for the logs of their runs.
    pub(crate) fn drops_logs(&self, now: Instant) -> bool {
        self.drain.as_ref().and_then(|drain| drain.drop_logs_at).is_some_and(|at| now >= at)
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

    /// True if no handler runs and every outcome is acknowledged.
    pub(crate) fn is_quiet(&self) -> bool {
        self.grants.is_empty() && self.tasks.is_empty()
    }
}
