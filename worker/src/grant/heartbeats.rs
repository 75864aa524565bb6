//! When to send heartbeats, which of them are answered, and when a silent stream is dead. Pure.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::grant::key::GrantKey;

/// A stream without answers for so many intervals is dead. That is well within a lease, and more than one heartbeat had time
/// for its answer.
const SILENT_INTERVALS: u32 = 3;

/// The heartbeats of one stream.
#[derive(Debug)]
pub(crate) struct Heartbeats {
    interval: Duration,
    next: Instant,
    last_answer: Instant,
    /// Sent and not answered, the oldest first. Bounded, because a stream without answers is dead after a few.
    unanswered: VecDeque<Sent>,
}

/// A heartbeat that was sent.
#[derive(Debug, PartialEq)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) leases: Vec<GrantKey>,
}

impl Heartbeats {
    /// The first heartbeat is due at once, because after a resume leases may be close to their end.
    pub(crate) fn new(interval: Duration, now: Instant) -> Self {
        Self { interval, next: now, last_answer: now, unanswered: VecDeque::new() }
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now >= self.next
    }

    pub(crate) fn sent(&mut self, leases: Vec<GrantKey>, now: Instant) {
        self.unanswered.push_back(Sent { at: now, leases });
        self.next = now + self.interval;
    }

    /// The next heartbeat is due now.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.next = self.next.min(now);
    }

    /// Returns the heartbeat that an answer belongs to. Answers come in the order of the heartbeats. If the server skipped one,
    /// the leases count from an earlier heartbeat, which is safe.
    pub(crate) fn answered(&mut self, now: Instant) -> Option<Sent> {
        self.last_answer = now;
        self.unanswered.pop_front()
    }

    pub(crate) fn is_dead(&self, now: Instant) -> bool {
        now >= self.dead_at()
    }

    /// When the next thing is due. A heartbeat that is due now waits for room in the stream, and not for the clock.
    pub(crate) fn wake_at(&self, now: Instant) -> Instant {
        if self.is_due(now) { self.dead_at() } else { self.next.min(self.dead_at()) }
    }

    fn dead_at(&self) -> Instant {
        self.last_answer + self.interval * SILENT_INTERVALS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(5);

    #[test]
    fn heartbeats_are_due_at_once_and_then_at_each_interval() {
        let start = Instant::now();
        let mut heartbeats = Heartbeats::new(INTERVAL, start);
        assert!(heartbeats.is_due(start));
        heartbeats.sent(vec![], start);
        assert!(!heartbeats.is_due(start + INTERVAL / 2));
        assert!(heartbeats.is_due(start + INTERVAL));
        assert!(heartbeats.wake_at(start + INTERVAL) > start + INTERVAL);
        assert_eq!(heartbeats.wake_at(start), start + INTERVAL);
    }

    #[test]
    fn an_answer_belongs_to_the_oldest_unanswered_heartbeat() {
        let start = Instant::now();
        let mut heartbeats = Heartbeats::new(INTERVAL, start);
        heartbeats.sent(vec![], start);
        heartbeats.sent(vec![], start + INTERVAL);
        assert_eq!(heartbeats.answered(start + INTERVAL * 2).unwrap().at, start);
        assert_eq!(heartbeats.answered(start + INTERVAL * 2).unwrap().at, start + INTERVAL);
        assert_eq!(heartbeats.answered(start + INTERVAL * 2), None);
    }

    #[test]
    fn a_stream_without_answers_is_dead_after_three_intervals() {
        let start = Instant::now();
        let mut heartbeats = Heartbeats::new(INTERVAL, start);
        assert!(!heartbeats.is_dead(start + INTERVAL * 2));
        heartbeats.answered(start + INTERVAL);
        assert!(!heartbeats.is_dead(start + INTERVAL * 3));
        assert!(heartbeats.is_dead(start + INTERVAL * 4));
    }
}
