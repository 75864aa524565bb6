//! The end of a grant in the worker: its handler ends, its lease ends, or the server revokes it.

use std::time::Duration;

use tokio::{
    task::{self, JoinError},
    time::Instant,
};

use crate::{
    api::failure::Failure,
    grant::{key::GrantKey, outcome::Outcome},
    runtime::state::Runtime,
};

/// A run that workers could not execute so many times is offered again with a delay, which grows to the longest. Otherwise a run that no
/// worker can execute would be offered without an end.
const GRANTS_AT_ONCE: i64 = 20;
const LONGEST_DELAY: Duration = Duration::from_secs(60);

impl Runtime {
    /// The worker lacks what a run needs: it takes no runs for a while.
    fn lacks(&mut self, key: GrantKey, reason: &str) {
        let now = Instant::now();
        if let Some(pause) = self.capacity.shortage(reason, now, rand::random()) {
            let pause_ms = pause.until.saturating_duration_since(now).as_millis();
            tracing::error!(grant = %key, reason, pause_ms, "the worker can not execute runs: it gives them back and takes none for a while");
            if let Some(stream) = &mut self.stream {
                stream.heartbeats.hurry(now);
            }
        }
    }

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
        let Some(mut outcome) = outcome else { return };
        let attempt = self.running.remove(&key).map_or(1, |running| running.attempt);
        match &mut outcome {
            Outcome::GivenBack { reason, delay } => {
                *delay = delay_of(key, attempt);
                self.lacks(key, reason);
            }
            _ => self.capacity.executed(Instant::now()),
        }
        if self.events.is_flushed(key) {
            self.reports.add(key, outcome);
        } else {
            let now = self.stream.is_some().then(Instant::now);
            self.reports.hold(key, outcome, now);
        }
    }
}

/// The delay until a run that is given back is offered again. Fences count its grants, attempts only those that count.
fn delay_of(key: GrantKey, attempt: i32) -> Duration {
    let given_back = key.fence.saturating_sub(attempt.into());
    let over = u32::try_from(given_back.saturating_sub(GRANTS_AT_ONCE).max(0)).unwrap_or(u32::MAX);
    if over == 0 {
        Duration::ZERO
    } else {
        Duration::from_millis(500).saturating_mul(2u32.saturating_pow(over)).min(LONGEST_DELAY)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_run_that_is_given_back_again_and_again_waits_longer_each_time() {
        let delay = |fence| delay_of(GrantKey { run_id: Uuid::from_u128(1), fence }, 2);
        let seconds = |fences: [i64; 5]| fences.map(|fence| delay(fence).as_secs());
        assert_eq!(seconds([2, 22, 23, 24, 25]), [0, 0, 1, 2, 4]);
        assert_eq!((delay(40), delay(i64::MAX)), (LONGEST_DELAY, LONGEST_DELAY));
    }
}
