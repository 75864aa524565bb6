//! The credit of one stream, and the stage of each of its grants. Pure: no I/O, and the clock is an argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::batch::budget::Held;
use crate::domain::GrantKey;
use crate::domain::frame::{Parcel, Start};
use crate::domain::weight::Weight;
use crate::stream::offers::STREAM_BYTES;

/// How far a grant has come on its stream.
#[derive(Debug)]
enum Stage {
    /// The worker was sent the run and has not accepted it yet.
    Assigned { at: Instant, offer: Offer },
    /// The worker was sent a Start. From here on only two things take the grant back without a report: the end of its lease,
    /// and a resume that does not name it.
    Started { at: Instant },
}

/// What an offered run takes until it is accepted.
#[derive(Debug)]
struct Offer {
    parcel: Parcel,
    /// Its part of the room of all streams.
    _room: Option<Held>,
}

#[derive(Debug)]
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
    /// The runs that the worker was given since Hello, without those that were taken back before it read them.
    given: i64,
    grants: HashMap<Uuid, StreamGrant>,
    /// The bytes of the runs that wait for the worker to accept them.
    offered: usize,
    /// The worker did not accept in time, so often, and has accepted nothing since; and when it is tried next.
    late: Option<(u32, Instant)>,
    /// Grants of an earlier stream that have started. A foreign lock keeps the starts from being written.
    unwritten: Vec<GrantKey>,
    /// The stream gets no more runs.
    draining: bool,
}

/// What a stream knows of a grant that its worker reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reporting {
    Started {
        ago: Duration,
    },
    /// The worker was not sent a Start.
    TooEarly,
    /// The stream does not have it: it has ended.
    Unknown,
}

/// How a grant is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelling {
    /// The worker was sent a Start, so it must stop the run.
    Send,
    /// It was sent the cancel before.
    Sent,
    /// It was not sent a Start, and never will be. The server ends the run. A worker that has read the run must learn of it.
    TakeBack { was_read: bool },
    /// The stream does not have the grant: it has ended, or the claim of this moment gives it.
    Unknown,
}

/// A worker's credit fell, or is too large: the totals that it could have sent.
#[derive(Debug, PartialEq, Eq)]
pub struct CreditRefused {
    pub least: i64,
    pub most: i64,
}

/// Grants that were taken back before they started.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    pub all: Vec<GrantKey>,
    /// Those whose runs the worker has read. It does not know of the others.
    pub read: Vec<GrantKey>,
}

/// How many free slots a stream may have at once.
pub const MAX_FREE_SLOTS: i64 = 10_000;

/// How long a worker that did not accept in time gets no run. The delay doubles each time, up to a bound.
const LATE_DELAY: Duration = Duration::from_secs(1);
const LATE_DELAY_MAX: Duration = Duration::from_secs(300);

/// The room of a stream for more runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreeSlots {
    pub count: usize,
    /// Whether the worker has more slots, and must accept before it gets more runs.
    pub is_short: bool,
}

impl Grants {
    /// Sets the worker's new total credit.
    pub fn credit(&mut self, total: i64) -> Result<(), CreditRefused> {
        if total < self.credit || total - self.given > MAX_FREE_SLOTS {
            return Err(CreditRefused { least: self.credit, most: self.given + MAX_FREE_SLOTS });
        }
        self.credit = total;
        Ok(())
    }

    /// How many more runs of this size the worker can be given. `has_read`: it has read all frames so far. A worker that did not accept
    /// in time gets one run after a delay, and none while it does not read, until it accepts.
    pub fn free(&self, run_bytes: usize, has_read: bool, now: Instant) -> FreeSlots {
        let slots = if self.draining { 0 } else { usize::try_from(self.credit - self.given).unwrap_or_default() };
        let offered = self.offered;
        let most = match self.late {
            Some((_, next)) => usize::from(offered == 0 && has_read && now >= next),
            None => (STREAM_BYTES.saturating_sub(offered) / run_bytes.max(1)).max(usize::from(offered == 0)),
        };
        FreeSlots { count: slots.min(most), is_short: most < slots }
    }

    /// How many grants the stream has.
    pub fn count(&self) -> usize {
        self.grants.len()
    }

    /// Adds a grant that goes to the worker now. `attempt` counts the attempts before this one; `room` is held until the worker accepts.
    pub fn assign(&mut self, key: GrantKey, attempt: i32, parcel: Parcel, room: Option<Held>, now: Instant) {
        self.given += 1;
        self.offered += parcel.weight();
        self.add(key, attempt, Stage::Assigned { at: now, offer: Offer { parcel, _room: room } });
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
        let Stage::Assigned { offer, .. } = &grant.stage else { return None };
        let bytes = offer.parcel.weight();
        grant.stage = Stage::Started { at: now };
        grant.attempt += 1;
        let start = Start { grant: key, attempt: grant.attempt };
        self.offered -= bytes;
        self.late = None;
        Some(start)
    }

    /// How long ago a grant started; `None` if it did not start on this stream.
    pub fn started_ago(&self, key: GrantKey, now: Instant) -> Option<Duration> {
        match self.get(key)?.stage {
            Stage::Started { at } => Some(now.saturating_duration_since(at)),
            Stage::Assigned { .. } => None,
        }
    }

    /// Marks that the worker has reported, if the grant started.
    pub fn report(&mut self, key: GrantKey, now: Instant) -> Reporting {
        match self.get_mut(key) {
            None => Reporting::Unknown,
            Some(StreamGrant { stage: Stage::Assigned { .. }, .. }) => Reporting::TooEarly,
            Some(StreamGrant { stage: Stage::Started { at }, reported, .. }) => {
                *reported = true;
                Reporting::Started { ago: now.saturating_duration_since(*at) }
            }
        }
    }

    /// Whether the worker has reported, and has no answer yet.
    pub fn is_reported(&self, key: GrantKey) -> bool {
        self.get(key).is_some_and(|grant| grant.reported)
    }

    /// Whether a grant started on this stream, and the worker has not reported yet.
    pub fn is_executing(&self, key: GrantKey) -> bool {
        self.get(key).is_some_and(|grant| matches!(grant.stage, Stage::Started { .. }) && !grant.reported)
    }

    /// Decides how a grant is cancelled. A grant that did not start is removed; for the others the cancel counts as sent.
    pub fn cancel(&mut self, key: GrantKey) -> Cancelling {
        match self.get_mut(key) {
            None => Cancelling::Unknown,
            Some(StreamGrant { stage: Stage::Assigned { .. }, .. }) => {
                Cancelling::TakeBack { was_read: self.remove(key.run_id) }
            }
            Some(grant) => match std::mem::replace(&mut grant.cancel_sent, true) {
                true => Cancelling::Sent,
                false => Cancelling::Send,
            },
        }
    }

    /// Removes a grant that the worker has lost. Whether the worker must learn of it: not if it has never read the run.
    pub fn revoke(&mut self, key: GrantKey) -> bool {
        self.get(key).is_none() || self.remove(key.run_id)
    }

    /// Removes a grant that has ended. False if the stream does not have it.
    pub fn end(&mut self, key: GrantKey) -> bool {
        let held = self.get(key).is_some();
        if held {
            self.remove(key.run_id);
        }
        held
    }

    /// Removes and returns the grants that the worker has not accepted within `timeout`.
    pub fn take_unaccepted(&mut self, timeout: Duration, now: Instant) -> Taken {
        let late = self.take_assigned(|at| now.saturating_duration_since(at) >= timeout);
        if !late.all.is_empty() {
            let times = self.late.map_or(1, |(times, _)| times.saturating_add(1));
            let delay = LATE_DELAY.saturating_mul(2u32.saturating_pow(times - 1)).min(LATE_DELAY_MAX);
            self.late = Some((times, now + delay));
        }
        late
    }

    /// Removes and returns all grants that did not start: the stream has ended.
    pub fn take_unstarted(&mut self) -> Vec<GrantKey> {
        self.take_assigned(|_| true).all
    }

    /// From now on the stream gets no more runs. False if it was draining before.
    pub fn drain(&mut self) -> bool {
        !std::mem::replace(&mut self.draining, true)
    }

    fn add(&mut self, key: GrantKey, attempt: i32, stage: Stage) {
        self.remove(key.run_id);
        let grant = StreamGrant { fence: key.fence, attempt, stage, cancel_sent: false, reported: false };
        self.grants.insert(key.run_id, grant);
    }

    /// Removes a grant. If the worker has not read its run, the run is taken out of the frame, and the worker keeps its slot: then this is
    /// false.
    fn remove(&mut self, run_id: Uuid) -> bool {
        let Some(StreamGrant { stage: Stage::Assigned { offer, .. }, .. }) = self.grants.remove(&run_id) else {
            return true;
        };
        self.offered -= offer.parcel.weight();
        let is_unread = offer.parcel.take().is_some();
        self.given -= i64::from(is_unread);
        !is_unread
    }

    fn get(&self, key: GrantKey) -> Option<&StreamGrant> {
        self.grants.get(&key.run_id).filter(|grant| grant.fence == key.fence)
    }

    fn get_mut(&mut self, key: GrantKey) -> Option<&mut StreamGrant> {
        self.grants.get_mut(&key.run_id).filter(|grant| grant.fence == key.fence)
    }

    fn take_assigned(&mut self, due: impl Fn(Instant) -> bool) -> Taken {
        let mut all: Vec<GrantKey> = self
            .grants
            .iter()
            .filter(|(_, grant)| matches!(grant.stage, Stage::Assigned { at, .. } if due(at)))
            .map(|(run_id, grant)| GrantKey { run_id: *run_id, fence: grant.fence })
            .collect();
        all.sort();
        let read = all.iter().copied().filter(|key| self.remove(key.run_id)).collect();
        Taken { all, read }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Lane, Run, RunSpec, TenantId};

    fn key(fence: i64) -> GrantKey {
        GrantKey { run_id: Uuid::from_u128(7), fence }
    }

    /// A run with params of so many bytes.
    fn parcel(bytes: usize) -> Parcel {
        let spec = RunSpec {
            session_id: Uuid::nil(),
            lane: Lane::A,
            priority: 0,
            kind: String::new(),
            params: "x".repeat(bytes),
            labels: Default::default(),
            max_attempts: 1,
            timeout: None,
            traceparent: None,
        };
        Parcel::new(Run::enqueued(Uuid::nil(), TenantId::single(), spec, None, Default::default()))
    }

    fn assign(grants: &mut Grants, key: GrantKey, now: Instant) -> Parcel {
        let parcel = parcel(0);
        grants.assign(key, 0, parcel.clone(), None, now);
        parcel
    }

    /// The room for runs of the smallest size, at a worker that reads.
    fn free(grants: &Grants) -> usize {
        grants.free(1, true, Instant::now()).count
    }

    #[test]
    fn a_worker_that_does_not_accept_gets_no_more_than_the_bytes_of_a_stream() {
        let (mut grants, now) = (Grants::default(), Instant::now());
        grants.credit(1_000).expect("it rises");
        let large = STREAM_BYTES / 4;
        assert_eq!(grants.free(large, true, now), FreeSlots { count: 4, is_short: true });
        assert_eq!(grants.free(STREAM_BYTES * 2, true, now).count, 1, "the first may be larger than that");
        for fence in 1..=3 {
            let key = GrantKey { run_id: Uuid::from_u128(fence), fence: 1 };
            grants.assign(key, 0, parcel(large), None, now);
        }
        assert_eq!(grants.free(large, true, now).count, 0, "a run has more than its params");
        grants.accept(GrantKey { run_id: Uuid::from_u128(1), fence: 1 }, now);
        assert_eq!(grants.free(large, true, now).count, 1);
        assert_eq!(free(&Grants::default()), 0);
    }

    #[test]
    fn a_worker_that_was_late_gets_one_run_after_a_delay_that_doubles_if_it_reads_until_it_accepts() {
        let (mut grants, mut now) = (Grants::default(), Instant::now());
        grants.credit(10).expect("it rises");
        for times in 0..3 {
            assign(&mut grants, key(times), now).take().expect("it is read");
            assert_eq!(grants.take_unaccepted(Duration::ZERO, now).read, [key(times)]);
            assert_eq!(grants.take_unaccepted(Duration::ZERO, now), Taken::default(), "once");
            assert_eq!(grants.free(1, true, now).count, 0);
            now += LATE_DELAY * 2u32.pow(times as u32);
            assert_eq!(grants.free(1, false, now).count, 0, "it does not read");
            assert_eq!(grants.free(1, true, now), FreeSlots { count: 1, is_short: true });
        }
        assign(&mut grants, key(3), now).take().expect("it is read");
        assert_eq!(grants.free(1, true, now).count, 0);
        grants.accept(key(3), now).expect("it is accepted");
        assert_eq!(grants.free(1, false, now), FreeSlots { count: 6, is_short: false });
    }

    #[test]
    fn a_run_that_the_worker_has_not_read_is_dropped_with_its_grant_and_its_slot_is_free() {
        let (mut grants, now) = (Grants::default(), Instant::now());
        grants.credit(2).expect("it rises");
        let (read, unread) = (assign(&mut grants, key(1), now), parcel(0));
        grants.assign(GrantKey { run_id: Uuid::from_u128(8), fence: 1 }, 0, unread.clone(), None, now);
        assert!(read.take().is_some());
        assert_eq!(free(&grants), 0);
        let taken = grants.take_unaccepted(Duration::ZERO, now);
        assert_eq!((taken.all.len(), taken.read), (2, vec![key(1)]));
        assert!(unread.take().is_none(), "nobody sends it any more");
        grants.late = None;
        assert_eq!(free(&grants), 1, "the worker does not count what it has not read");
        assign(&mut grants, key(2), now);
        assert!(!grants.revoke(key(2)), "it does not know of it");
        assert!(grants.revoke(key(2)), "the stream does not have it");
        assign(&mut grants, key(3), now).take().expect("it is read");
        assert!(grants.revoke(key(3)));
    }

    #[test]
    fn a_grant_is_started_once() {
        let (mut grants, now) = (Grants::default(), Instant::now());
        assign(&mut grants, key(1), now);
        assert_eq!(grants.started_ago(key(1), now), None);
        assert_eq!(grants.accept(key(1), now), Some(Start { grant: key(1), attempt: 1 }));
        assert_eq!(grants.accept(key(1), now), None);
        assert_eq!(grants.started_ago(key(1), now), Some(Duration::ZERO));
    }

    #[test]
    fn a_reported_grant_is_not_executing() {
        let (mut grants, now) = (Grants::default(), Instant::now());
        assign(&mut grants, key(1), now);
        assert!(!grants.is_executing(key(1)));
        assert_eq!(grants.report(key(1), now), Reporting::TooEarly);
        grants.accept(key(1), now);
        assert!(grants.is_executing(key(1)));
        assert_eq!(grants.report(key(2), now), Reporting::Unknown);
        assert!(grants.is_executing(key(1)) && !grants.is_reported(key(1)));
        assert_eq!(grants.report(key(1), now), Reporting::Started { ago: Duration::ZERO });
        assert!(!grants.is_executing(key(1)) && grants.is_reported(key(1)));
    }

    #[test]
    fn another_fence_is_another_grant() {
        let (mut grants, now) = (Grants::default(), Instant::now());
        assign(&mut grants, key(2), now);
        assert_eq!(grants.accept(key(1), now), None);
        assert_eq!(grants.cancel(key(1)), Cancelling::Unknown);
        assert!(!grants.end(key(1)));
        assert!(grants.end(key(2)));
    }

    #[test]
    fn only_a_grant_that_did_not_start_is_taken_back() {
        let (mut grants, now) = (Grants::default(), Instant::now());
        let other = GrantKey { run_id: Uuid::from_u128(8), fence: 1 };
        assign(&mut grants, key(1), now);
        assign(&mut grants, other, now);
        grants.accept(key(1), now);
        assert_eq!(grants.take_unaccepted(Duration::from_secs(5), now), Taken::default());
        assert_eq!(grants.take_unaccepted(Duration::from_secs(5), now + Duration::from_secs(5)).all, [other]);
        assert_eq!(grants.take_unstarted(), []);
        assert_eq!(grants.accept(other, now), None);
    }

    #[test]
    fn credit_is_cumulative_and_never_falls() {
        let (mut grants, now) = (Grants::default(), Instant::now());
        assert_eq!(grants.credit(2), Ok(()));
        assign(&mut grants, key(1), now);
        assert_eq!(free(&grants), 1);
        assert_eq!(grants.credit(1), Err(CreditRefused { least: 2, most: 10_001 }));
        assert_eq!(grants.credit(i64::MAX), Err(CreditRefused { least: 2, most: 10_001 }));
        assert_eq!(grants.credit(3), Ok(()));
        assert_eq!(free(&grants), 2);
        assert!(grants.drain());
        assert!(!grants.drain());
        assert_eq!(free(&grants), 0);
    }

    #[test]
    fn a_cancel_is_sent_once_on_a_stream() {
        let (mut grants, now) = (Grants::default(), Instant::now());
        grants.resume(key(1), 1, now);
        assert_eq!(grants.cancel(key(1)), Cancelling::Send);
        assert_eq!(grants.cancel(key(1)), Cancelling::Sent);
    }

    #[test]
    fn a_cancelled_grant_that_did_not_start_never_starts() {
        let (mut grants, now) = (Grants::default(), Instant::now());
        assign(&mut grants, key(1), now).take();
        assert_eq!(grants.cancel(key(1)), Cancelling::TakeBack { was_read: true });
        assert_eq!(grants.accept(key(1), now), None);
        assert_eq!(grants.cancel(key(1)), Cancelling::Unknown);
        assign(&mut grants, key(2), now);
        assert_eq!(grants.cancel(key(2)), Cancelling::TakeBack { was_read: false });
    }
}
