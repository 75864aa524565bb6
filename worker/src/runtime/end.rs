//! The end of a grant in the worker: its handler ends, its lease ends, or the server revokes it.

use tokio::{
    task::{self, JoinError},
    time::Instant,
};

use crate::{
    api::failure::Failure,
    grant::{key::GrantKey, outcome::Outcome},
    runtime::state::Runtime,
};

impl Runtime {
    /// Kills a handler whose lease has ended by this worker's clock: another worker may have the run. If the server still knows
    /// the grant when the worker connects again, the worker reports the attempt as failed.
    pub(crate) fn lapse(&mut self, key: GrantKey) {
        tracing::warn!(grant = %key, "no heartbeat was acknowledged for the time of a lease: the handler is killed");
        if let Some(running) = self.running.remove(&key) {
            running.task.abort();
        }
        if self.grants.end(key) {
            self.lapsed.insert(key);
        }
    }

    /// The outcome of a handler that was killed because its lease ended.
    fn lapsed_outcome(&self) -> Outcome {
        let lease = humantime::format_duration(self.lease_timeout);
        let message = format!("no server acknowledged a heartbeat for {lease}, so the worker stopped the run");
        Outcome::failed(Failure::new("HeartbeatTimeout", message))
    }

    /// Ends a grant that this worker has lost, without a report.
    pub(crate) fn kill(&mut self, key: GrantKey, reason: &str) {
        if let Some(running) = self.running.remove(&key) {
            running.task.abort();
        }
        self.lapsed.remove(&key);
        self.events.remove(key);
        self.reports.remove(key);
        if self.grants.remove(key) {
            self.summary.lost += 1;
            tracing::warn!(grant = %key, reason, "grant lost");
        }
    }

    pub(crate) fn on_task_end(&mut self, ended: Result<(task::Id, Outcome), JoinError>) {
        let (id, outcome) = match ended {
            Ok((id, outcome)) => (id, Some(outcome)),
            Err(error) if error.is_panic() => {
                (error.id(), Some(Outcome::failed(Failure::new("Panic", "the worker's own task panicked"))))
            }
            Err(error) => (error.id(), None),
        };
        let Some(key) = self.task_keys.remove(&id) else { return };
        self.events.close(key);
        // A lost grant has nothing to report.
        let outcome = match self.lapsed.remove(&key) {
            true => Some(self.lapsed_outcome()),
            false => outcome.filter(|_| self.grants.end(key)),
        };
        let Some(outcome) = outcome else { return };
        self.running.remove(&key);
        if self.events.is_flushed(key) {
            self.reports.add(key, outcome);
        } else {
            let now = self.stream.is_some().then(Instant::now);
            self.reports.hold(key, outcome, now);
        }
    }
}
