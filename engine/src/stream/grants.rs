//! What one stream has been given: its credit, and where each grant stands. Pure; the stream's owner alone keeps it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::domain::Lease;
use crate::domain::frame::Start;

/// Where a grant stands on this stream.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    /// Sent to the worker, which has not accepted it yet.
    Assigned { at: Instant },
    /// The worker was told to start. From here on only the lease, or a resume that does not name the run, gives it back.
    Started { at: Instant },
}

#[derive(Debug, Clone, Copy)]
struct Grant {
    fence: i64,
    attempt: i32,
    stage: Stage,
    cancel_sent: bool,
    /// Its report is on the way to the database.
    reported: bool,
}

/// The grants of one stream.
#[derive(Debug, Default)]
pub struct Grants {
    /// Slots that the worker has made free since Hello, and runs that were given to it since: cumulative, both.
    credit: i64,
    given: i64,
    grants: HashMap<Uuid, Grant>,
    /// Started on an earlier stream, which is to be written down when their runs are not locked any more.
    unwritten: Vec<Lease>,
    /// No more runs are given.
    draining: bool,
}

/// A worker's credit fell, or is beyond what a worker may have.
#[derive(Debug, PartialEq, Eq)]
pub struct CreditRefused {
    pub before: i64,
}

/// How many free slots a stream may have at once.
pub const MAX_FREE_SLOTS: i64 = 10_000;

impl Grants {
    /// Takes the worker's new total.
    pub fn credit(&mut self, total: i64) -> Result<(), CreditRefused> {
        if total < self.credit || total - self.given > MAX_FREE_SLOTS {
            return Err(CreditRefused { before: self.credit });
        }
        self.credit = total;
        Ok(())
    }

    /// How many more runs may be given.
    pub fn free(&self) -> usize {
        if self.draining { 0 } else { usize::try_from(self.credit - self.given).unwrap_or_default() }
    }

    /// How many grants the stream has.
    pub fn count(&self) -> usize {
        self.grants.len()
    }

    /// Gives a run. `attempt` counts the attempts before this one.
    pub fn assign(&mut self, lease: Lease, attempt: i32, now: Instant) {
        self.given += 1;
        self.grants.insert(
            lease.run_id,
            Grant {
                fence: lease.fence,
                attempt,
                stage: Stage::Assigned { at: now },
                cancel_sent: false,
                reported: false,
            },
        );
    }

    /// Takes a grant over that was started on an earlier stream.
    pub fn resume(&mut self, lease: Lease, attempt: i32, started: Instant) {
        self.grants.insert(
            lease.run_id,
            Grant {
                fence: lease.fence,
                attempt,
                stage: Stage::Started { at: started },
                cancel_sent: false,
                reported: false,
            },
        );
    }

    /// Keeps that these starts are not written down.
    pub fn unwritten(&mut self, leases: impl IntoIterator<Item = Lease>) {
        self.unwritten.extend(leases);
    }

    /// Takes out the starts that are not written down.
    pub fn take_unwritten(&mut self) -> Vec<Lease> {
        std::mem::take(&mut self.unwritten)
    }

    /// The worker accepts: it may start, once. `None` if the grant is not the stream's own, or was started before.
    pub fn accept(&mut self, lease: Lease, now: Instant) -> Option<Start> {
        let grant = self.grants.get_mut(&lease.run_id).filter(|grant| grant.fence == lease.fence)?;
        let Stage::Assigned { .. } = grant.stage else { return None };
        grant.stage = Stage::Started { at: now };
        grant.attempt += 1;
        Some(Start { lease, attempt: grant.attempt })
    }

    /// For how long a grant runs; `None` if it was not started on this stream.
    pub fn started_ago(&self, lease: Lease, now: Instant) -> Option<Duration> {
        let grant = self.grants.get(&lease.run_id).filter(|grant| grant.fence == lease.fence)?;
        match grant.stage {
            Stage::Started { at } => Some(now.saturating_duration_since(at)),
            Stage::Assigned { .. } => None,
        }
    }

    /// Marks that a report of a grant is on its way. Answers for how long it runs, if it was started on this stream.
    pub fn report(&mut self, lease: Lease, now: Instant) -> Option<Duration> {
        let started_ago = self.started_ago(lease, now)?;
        self.grants.entry(lease.run_id).and_modify(|grant| grant.reported = true);
        Some(started_ago)
    }

    /// Whether a grant was started on this stream, and nothing was reported of it yet.
    pub fn is_executing(&self, lease: Lease) -> bool {
        let grant = self.grants.get(&lease.run_id).filter(|grant| grant.fence == lease.fence);
        grant.is_some_and(|grant| matches!(grant.stage, Stage::Started { .. }) && !grant.reported)
    }

    /// Marks that the worker is told to stop. False if it was before, or if the grant is not the stream's own.
    pub fn cancel(&mut self, lease: Lease) -> bool {
        match self.grants.get_mut(&lease.run_id) {
            Some(grant) if grant.fence == lease.fence && !grant.cancel_sent => {
                grant.cancel_sent = true;
                true
            }
            _ => false,
        }
    }

    /// Forgets a grant that has ended. False if the stream did not have it.
    pub fn end(&mut self, lease: Lease) -> bool {
        let held = self.grants.get(&lease.run_id).is_some_and(|grant| grant.fence == lease.fence);
        if held {
            self.grants.remove(&lease.run_id);
        }
        held
    }

    /// Takes out the grants that the worker has not accepted within `timeout`.
    pub fn take_unaccepted(&mut self, timeout: Duration, now: Instant) -> Vec<Lease> {
        self.take_assigned(|at| now.saturating_duration_since(at) >= timeout)
    }

    /// Takes out all grants that were not started: the stream has ended.
    pub fn take_unstarted(&mut self) -> Vec<Lease> {
        self.take_assigned(|_| true)
    }

    /// Gives no more runs. False if that was said before.
    pub fn drain(&mut self) -> bool {
        !std::mem::replace(&mut self.draining, true)
    }

    fn take_assigned(&mut self, due: impl Fn(Instant) -> bool) -> Vec<Lease> {
        let mut taken: Vec<Lease> = self
            .grants
            .iter()
            .filter(|(_, grant)| matches!(grant.stage, Stage::Assigned { at } if due(at)))
            .map(|(run_id, grant)| Lease { run_id: *run_id, fence: grant.fence })
            .collect();
        taken.sort();
        for lease in &taken {
            self.grants.remove(&lease.run_id);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(fence: i64) -> Lease {
        Lease { run_id: Uuid::from_u128(7), fence }
    }

    #[test]
    fn a_grant_is_started_once() {
        let (mut grants, now) = (Grants::default(), Instant::now());
        grants.assign(lease(1), 0, now);
        assert_eq!(grants.started_ago(lease(1), now), None);
        assert_eq!(grants.accept(lease(1), now), Some(Start { lease: lease(1), attempt: 1 }));
        assert_eq!(grants.accept(lease(1), now), None);
        assert_eq!(grants.started_ago(lease(1), now), Some(Duration::ZERO));
    }

    #[test]
    fn what_was_reported_is_not_executed_any_more() {
        let (mut grants, now) = (Grants::default(), Instant::now());
        grants.assign(lease(1), 0, now);
        assert!(!grants.is_executing(lease(1)));
        assert_eq!(grants.report(lease(1), now), None);
        grants.accept(lease(1), now);
        assert!(grants.is_executing(lease(1)));
        assert_eq!(grants.report(lease(2), now), None);
        assert!(grants.is_executing(lease(1)));
        assert_eq!(grants.report(lease(1), now), Some(Duration::ZERO));
        assert!(!grants.is_executing(lease(1)));
    }

    #[test]
    fn another_fence_is_another_grant() {
        let (mut grants, now) = (Grants::default(), Instant::now());
        grants.assign(lease(2), 0, now);
        assert_eq!(grants.accept(lease(1), now), None);
        assert!(!grants.cancel(lease(1)));
        assert!(!grants.end(lease(1)));
        assert!(grants.end(lease(2)));
    }

    #[test]
    fn only_what_was_not_started_is_taken_back() {
        let (mut grants, now) = (Grants::default(), Instant::now());
        let other = Lease { run_id: Uuid::from_u128(8), fence: 1 };
        grants.assign(lease(1), 0, now);
        grants.assign(other, 0, now);
        grants.accept(lease(1), now);
        assert_eq!(grants.take_unaccepted(Duration::from_secs(5), now), []);
        assert_eq!(grants.take_unaccepted(Duration::from_secs(5), now + Duration::from_secs(5)), [other]);
        assert_eq!(grants.take_unstarted(), []);
        assert_eq!(grants.accept(other, now), None);
    }

    #[test]
    fn credit_is_cumulative_and_never_falls() {
        let (mut grants, now) = (Grants::default(), Instant::now());
        assert_eq!(grants.credit(2), Ok(()));
        grants.assign(lease(1), 0, now);
        assert_eq!(grants.free(), 1);
        assert_eq!(grants.credit(1), Err(CreditRefused { before: 2 }));
        assert_eq!(grants.credit(i64::MAX), Err(CreditRefused { before: 2 }));
        assert_eq!(grants.credit(3), Ok(()));
        assert_eq!(grants.free(), 2);
        assert!(grants.drain());
        assert!(!grants.drain());
        assert_eq!(grants.free(), 0);
    }

    #[test]
    fn a_cancel_is_sent_once_on_a_stream() {
        let (mut grants, now) = (Grants::default(), Instant::now());
        grants.resume(lease(1), 1, now);
        assert!(grants.cancel(lease(1)));
        assert!(!grants.cancel(lease(1)));
    }
}
