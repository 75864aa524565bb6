//! The credit of one stream, and the stage of each of its grants. Pure: no I/O, and the clock is an argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::domain::GrantKey;
use crate::domain::frame::Start;

/// How far a grant has come on its stream.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    /// The worker was sent the run and has not accepted it yet.
    Assigned { at: Instant },
    /// The worker was sent a Start. From here on only two things take the grant back without a report: the end of its lease,
    /// and a resume that does not name it.
    Started { at: Instant },
}

#[derive(Debug, Clone, Copy)]
struct StreamGrant {
    fence: i64,
    attempt: i32,
    stage: Stage,
    cancel_sent: bool,
    /// The worker has reported, and the report is not written yet.
    reported: bool,
}

/// The grants and the credit of one stream.
#[derive(Debug, Default)]
pub struct Grants {
    /// The slots that the worker has offered since Hello. The count never falls.
    credit: i64,
    /// The runs that the worker was given since Hello. The count never falls.
    given: i64,
    grants: HashMap<Uuid, StreamGrant>,
    /// Grants of an earlier stream that have started. A foreign lock keeps the starts from being written.
    unwritten: Vec<GrantKey>,
    /// The stream gets no more runs.
    draining: bool,
}

/// A worker's credit fell, or is too large: the totals that it could have sent.
#[derive(Debug, PartialEq, Eq)]
pub struct CreditRefused {
    pub least: i64,
    pub most: i64,
}

/// How many free slots a stream may have at once.
pub const MAX_FREE_SLOTS: i64 = 10_000;

impl Grants {
    /// Sets the worker's new total credit.
    pub fn credit(&mut self, total: i64) -> Result<(), CreditRefused> {
        if total < self.credit || total - self.given > MAX_FREE_SLOTS {
            return Err(CreditRefused { least: self.credit, most: self.given + MAX_FREE_SLOTS });
        }
        self.credit = total;
        Ok(())
    }

    /// How many more runs the worker can be given.
    pub fn free(&self) -> usize {
        if self.draining { 0 } else { usize::try_from(self.credit - self.given).unwrap_or_default() }
    }

    /// How many grants the stream has.
    pub fn count(&self) -> usize {
        self.grants.len()
    }

    /// Adds a grant that goes to the worker now. `attempt` counts the attempts before this one.
    pub fn assign(&mut self, key: GrantKey, attempt: i32, now: Instant) {
        self.given += 1;
        self.add(key, attempt, Stage::Assigned { at: now });
    }

    /// Adds a grant that started on an earlier stream.
    pub fn resume(&mut self, key: GrantKey, attempt: i32, started: Instant) {
        self.add(key, attempt, Stage::Started { at: started });
    }

    /// Remembers grants whose starts are not written yet.
    pub fn unwritten(&mut self, keys: impl IntoIterator<Item = GrantKey>) {
        self.unwritten.extend(keys);
    }

    /// Removes and returns the grants whose starts are not written yet.
    pub fn take_unwritten(&mut self) -> Vec<GrantKey> {
        std::mem::take(&mut self.unwritten)
    }

    /// The worker accepts a grant, and may start it, once. `None` if the stream does not have the grant, or it started before.
    pub fn accept(&mut self, key: GrantKey, now: Instant) -> Option<Start> {
        let grant = self.get_mut(key)?;
        let Stage::Assigned { .. } = grant.stage else { return None };
        grant.stage = Stage::Started { at: now };
        grant.attempt += 1;
        Some(Start { grant: key, attempt: grant.attempt })
    }

    /// How long ago a grant started; `None` if it did not start on this stream.
    pub fn started_ago(&self, key: GrantKey, now: Instant) -> Option<Duration> {
        match self.get(key)?.stage {
            Stage::Started { at } => Some(now.saturating_duration_since(at)),
            Stage::Assigned { .. } => None,
        }
    }

    /// Marks that the worker has reported. Answers how long ago the grant started, if it started on this stream.
    pub fn report(&mut self, key: GrantKey, now: Instant) -> Option<Duration> {
        let started_ago = self.started_ago(key, now)?;
        self.get_mut(key)?.reported = true;
        Some(started_ago)
    }

    /// Whether a grant started on this stream, and the worker has not reported yet.
    pub fn is_executing(&self, key: GrantKey) -> bool {
        self.get(key).is_some_and(|grant| matches!(grant.stage, Stage::Started { .. }) && !grant.reported)
    }

    /// Marks that the worker is sent a cancel. False if it was sent one before, or the stream does not have the grant.
    pub fn cancel(&mut self, key: GrantKey) -> bool {
        self.get_mut(key).is_some_and(|grant| !std::mem::replace(&mut grant.cancel_sent, true))
    }

    /// Removes a grant that has ended. False if the stream does not have it.
    pub fn end(&mut self, key: GrantKey) -> bool {
        let held = self.get(key).is_some();
        if held {
            self.grants.remove(&key.run_id);
        }
        held
    }

    /// Removes and returns the grants that the worker has not accepted within `timeout`.
    pub fn take_unaccepted(&mut self, timeout: Duration, now: Instant) -> Vec<GrantKey> {
        self.take_assigned(|at| now.saturating_duration_since(at) >= timeout)
    }

    /// Removes and returns all grants that did not start: the stream has ended.
    pub fn take_unstarted(&mut self) -> Vec<GrantKey> {
        self.take_assigned(|_| true)
    }

    /// From now on the stream gets no more runs. False if it was draining before.
    pub fn drain(&mut self) -> bool {
        !std::mem::replace(&mut self.draining, true)
    }

    fn add(&mut self, key: GrantKey, attempt: i32, stage: Stage) {
        let grant = StreamGrant { fence: key.fence, attempt, stage, cancel_sent: false, reported: false };
        self.grants.insert(key.run_id, grant);
    }

    fn get(&self, key: GrantKey) -> Option<&StreamGrant> {
        self.grants.get(&key.run_id).filter(|grant| grant.fence == key.fence)
    }

    fn get_mut(&mut self, key: GrantKey) -> Option<&mut StreamGrant> {
        self.grants.get_mut(&key.run_id).filter(|grant| grant.fence == key.fence)
    }

    fn take_assigned(&mut self, due: impl Fn(Instant) -> bool) -> Vec<GrantKey> {
        let mut taken: Vec<GrantKey> = self
            .grants
            .iter()
            .filter(|(_, grant)| matches!(grant.stage, Stage::Assigned { at } if due(at)))
            .map(|(run_id, grant)| GrantKey { run_id: *run_id, fence: grant.fence })
            .collect();
        taken.sort();
        for key in &taken {
            self.grants.remove(&key.run_id);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(fence: i64) -> GrantKey {
        GrantKey { run_id: Uuid::from_u128(7), fence }
    }

    #[test]
    fn a_grant_is_started_once() {
        let (mut grants, now) = (Grants::default(), Instant::now());
        grants.assign(key(1), 0, now);
        assert_eq!(grants.started_ago(key(1), now), None);
        assert_eq!(grants.accept(key(1), now), Some(Start { grant: key(1), attempt: 1 }));
        assert_eq!(grants.accept(key(1), now), None);
        assert_eq!(grants.started_ago(key(1), now), Some(Duration::ZERO));
    }

    #[test]
    fn a_reported_grant_is_not_executing() {
        let (mut grants, now) = (Grants::default(), Instant::now());
        grants.assign(key(1), 0, now);
        assert!(!grants.is_executing(key(1)));
        assert_eq!(grants.report(key(1), now), None);
        grants.accept(key(1), now);
        assert!(grants.is_executing(key(1)));
        assert_eq!(grants.report(key(2), now), None);
        assert!(grants.is_executing(key(1)));
        assert_eq!(grants.report(key(1), now), Some(Duration::ZERO));
        assert!(!grants.is_executing(key(1)));
    }

    #[test]
    fn another_fence_is_another_grant() {
        let (mut grants, now) = (Grants::default(), Instant::now());
        grants.assign(key(2), 0, now);
        assert_eq!(grants.accept(key(1), now), None);
        assert!(!grants.cancel(key(1)));
        assert!(!grants.end(key(1)));
        assert!(grants.end(key(2)));
    }

    #[test]
    fn only_a_grant_that_did_not_start_is_taken_back() {
        let (mut grants, now) = (Grants::default(), Instant::now());
        let other = GrantKey { run_id: Uuid::from_u128(8), fence: 1 };
        grants.assign(key(1), 0, now);
        grants.assign(other, 0, now);
        grants.accept(key(1), now);
        assert_eq!(grants.take_unaccepted(Duration::from_secs(5), now), []);
        assert_eq!(grants.take_unaccepted(Duration::from_secs(5), now + Duration::from_secs(5)), [other]);
        assert_eq!(grants.take_unstarted(), []);
        assert_eq!(grants.accept(other, now), None);
    }

    #[test]
    fn credit_is_cumulative_and_never_falls() {
        let (mut grants, now) = (Grants::default(), Instant::now());
        assert_eq!(grants.credit(2), Ok(()));
        grants.assign(key(1), 0, now);
        assert_eq!(grants.free(), 1);
        assert_eq!(grants.credit(1), Err(CreditRefused { least: 2, most: 10_001 }));
        assert_eq!(grants.credit(i64::MAX), Err(CreditRefused { least: 2, most: 10_001 }));
        assert_eq!(grants.credit(3), Ok(()));
        assert_eq!(grants.free(), 2);
        assert!(grants.drain());
        assert!(!grants.drain());
        assert_eq!(grants.free(), 0);
    }

    #[test]
    fn a_cancel_is_sent_once_on_a_stream() {
        let (mut grants, now) = (Grants::default(), Instant::now());
        grants.resume(key(1), 1, now);
        assert!(grants.cancel(key(1)));
        assert!(!grants.cancel(key(1)));
    }
}
