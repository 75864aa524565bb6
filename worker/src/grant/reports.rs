//! Outcomes on their way to the server. Each is kept until the server has acknowledged it. Pure.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    api::failure::Failure,
    grant::{key::GrantKey, outcome::Outcome},
};

/// A report follows the log of its run. If the log is not flushed within this time, on a live stream to a server that can
/// write, the report goes without it: the outcome matters more. By default, a server that can not write says so within 10 s, in
/// its answer to the second heartbeat at the latest.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(15);
/// The same for a cancelled run. It is shorter, because a server without a report ends the run 5 s after the grace.
const CANCELLED_FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// The contract's limit for the reports of one frame.
const FRAME_REPORTS: usize = 1000;
/// A report is given up after so many cuts of streams on which nothing else was on its way. A cut may have another cause, so smaller
/// reports are sent for ever: no proxy that lets a worker connect refuses so few bytes.
const MOST_CUTS: u32 = 5;
const LARGE_BYTES: usize = 64 * 1024;

/// Outcomes without an acknowledgement.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    pending: HashMap<GrantKey, Pending>,
    /// Outcomes that wait for their logs, and until when; `None` while there is no stream.
    flushing: HashMap<GrantKey, Option<Instant>>,
    unsent: VecDeque<GrantKey>,
    /// Sent on this stream, and not answered.
    unanswered: HashSet<GrantKey>,
}

#[derive(Debug)]
struct Pending {
    outcome: Outcome,
    is_substitute: bool,
    /// How many streams were cut while this report alone was on its way.
    cuts: u32,
}

impl Pending {
    fn new(outcome: Outcome) -> Self {
        Self { outcome, is_substitute: false, cuts: 0 }
    }
}

impl Reports {
    /// Adds an outcome that waits for the log of its run. `now` is `None` if there is no stream.
    pub(crate) fn hold(&mut self, key: GrantKey, outcome: Outcome, now: Option<Instant>) {
        self.flushing.insert(key, now.map(|now| now + flush_timeout(&outcome)));
        self.pending.insert(key, Pending::new(outcome));
    }

    /// Adds an outcome that can be sent now.
    pub(crate) fn add(&mut self, key: GrantKey, outcome: Outcome) {
        self.pending.insert(key, Pending::new(outcome));
        self.unsent.push_back(key);
    }

    /// The log is flushed: the outcome can be sent.
    pub(crate) fn release(&mut self, key: GrantKey) {
        if self.flushing.remove(&key).is_some() {
            self.unsent.push_back(key);
        }
    }

    pub(crate) fn is_flushing(&self, key: GrantKey) -> bool {
        self.flushing.contains_key(&key)
    }

    /// Outcomes whose logs were not flushed in time; all of them if the logs are dropped.
    pub(crate) fn overdue(&self, now: Instant, drops_logs: bool) -> Vec<GrantKey> {
        let overdue = self.flushing.iter().filter(|(_, until)| drops_logs || until.is_some_and(|until| now >= until));
        overdue.map(|(key, _)| *key).collect()
    }

    /// When the next outcome stops waiting for its log.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.flushing.values().flatten().min().copied()
    }

    pub(crate) fn can_send(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Whether a report that was sent on this stream is not answered.
    pub(crate) fn has_unanswered(&self) -> bool {
        !self.unanswered.is_empty()
    }

    /// The outcomes of the next frame, of up to so many bytes; a larger one goes alone.
    pub(crate) fn next(&mut self, frame_bytes: usize) -> Vec<(GrantKey, Outcome)> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(key) = self.unsent.front().copied() {
            // The line may still have a grant that is over.
            if let Some(pending) = self.pending.get(&key) {
                bytes += pending.outcome.size();
                if !taken.is_empty() && (bytes > frame_bytes || taken.len() == FRAME_REPORTS) {
                    break;
                }
                taken.push((key, pending.outcome.clone()));
                self.unanswered.insert(key);
            }
            self.unsent.pop_front();
        }
        taken
    }

    /// Removes an outcome that the server has answered, or whose grant is over.
    pub(crate) fn remove(&mut self, key: GrantKey) -> Option<Outcome> {
        self.flushing.remove(&key);
        self.unanswered.remove(&key);
        self.pending.remove(&key).map(|pending| pending.outcome)
    }

    /// The server refuses this outcome as invalid: sends it without its details, once. False if the server refused that too.
    /// Without a report the run would look as if its worker had died.
    pub(crate) fn substitute(&mut self, key: GrantKey, why: &str) -> bool {
        self.unanswered.remove(&key);
        match self.pending.get_mut(&key) {
            Some(pending) if !pending.is_substitute => {
                *pending = Pending { outcome: pending.outcome.without_details(why), is_substitute: true, cuts: 0 };
                self.unsent.push_back(key);
                true
            }
            _ => false,
        }
    }

    /// The stream was cut, and nothing but reports was on its way. If that was a single one, it may be what is cut: after some cuts a
    /// failure is reported in its place, so that it does not end the streams of all others for ever. Returns the report that is given up.
    pub(crate) fn cut(&mut self) -> Option<GrantKey> {
        let key = self.unanswered.iter().copied().next().filter(|_| self.unanswered.len() == 1)?;
        let pending = self.pending.get_mut(&key)?;
        pending.cuts += 1;
        let bytes = pending.outcome.size();
        if pending.cuts < MOST_CUTS || bytes < LARGE_BYTES || pending.is_substitute {
            return None;
        }
        let message = format!(
            "the connection was cut {MOST_CUTS} times while the report of {bytes} bytes was on its way; a proxy before the server may \
             limit the size of requests"
        );
        let failure = Failure { permanent: true, ..Failure::new("ReportNotDelivered", message) };
        *pending = Pending { outcome: Outcome::failed(failure), is_substitute: true, cuts: 0 };
        Some(key)
    }

    /// A stream began: everything is sent again, and the waiting times for logs begin anew. What was cut goes first, so that the stream
    /// carries nothing else.
    pub(crate) fn resume(&mut self, now: Instant) {
        self.pause();
        self.go_on(now);
        self.unanswered.clear();
        let ready = self.pending.iter().filter(|(key, _)| !self.flushing.contains_key(key));
        let (cut, others): (Vec<_>, Vec<_>) = ready.partition(|(_, pending)| pending.cuts > 0);
        self.unsent = cut.into_iter().chain(others).map(|(key, _)| *key).collect();
    }

    /// The stream is lost, or its server can not write: this time does not count as waiting for logs.
    pub(crate) fn pause(&mut self) {
        self.flushing.values_mut().for_each(|until| *until = None);
    }

    /// The server can write again: waiting times that were paused begin anew.
    pub(crate) fn go_on(&mut self, now: Instant) {
        for (key, until) in &mut self.flushing {
            let timeout = self.pending.get(key).map_or(FLUSH_TIMEOUT, |pending| flush_timeout(&pending.outcome));
            until.get_or_insert(now + timeout);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }
}

/// How long an outcome waits for the log of its run.
fn flush_timeout(outcome: &Outcome) -> Duration {
    match outcome {
        Outcome::Cancelled(_) => CANCELLED_FLUSH_TIMEOUT,
        _ => FLUSH_TIMEOUT,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::grant::pace::FRAME_BYTES;

    fn key(run: u128) -> GrantKey {
        GrantKey { run_id: Uuid::from_u128(run), fence: 1 }
    }

    fn ok(text: &str) -> Outcome {
        Outcome::Succeeded(text.into())
    }

    fn keys(taken: &[(GrantKey, Outcome)]) -> Vec<u128> {
        taken.iter().map(|(key, _)| key.run_id.as_u128()).collect()
    }

    #[test]
    fn reports_are_sent_again_after_each_resume_until_acknowledged() {
        let mut reports = Reports::default();
        reports.add(key(1), ok("1"));
        reports.add(key(2), ok("2"));
        assert_eq!(keys(&reports.next(FRAME_BYTES)), [1, 2]);
        assert!(!reports.can_send());
        reports.remove(key(1));
        reports.resume(Instant::now());
        assert_eq!(keys(&reports.next(FRAME_BYTES)), [2]);
        reports.remove(key(2));
        reports.resume(Instant::now());
        assert!(!reports.can_send() && reports.len() == 0);
    }

    #[test]
    fn a_report_waits_for_its_log_for_a_limited_time_and_only_while_there_is_a_stream() {
        let (mut reports, now) = (Reports::default(), Instant::now());
        reports.hold(key(1), ok("1"), None);
        assert_eq!(reports.next_deadline(), None);
        reports.resume(now);
        assert!(!reports.can_send());
        assert_eq!(reports.next_deadline(), Some(now + FLUSH_TIMEOUT));
        assert!(reports.overdue(now, false).is_empty());
        reports.pause();
        assert!(reports.overdue(now + FLUSH_TIMEOUT, false).is_empty());
        assert_eq!(reports.overdue(now, true), [key(1)]);
        reports.go_on(now);
        reports.go_on(now + FLUSH_TIMEOUT / 2);
        assert_eq!(reports.overdue(now + FLUSH_TIMEOUT, false), [key(1)]);
        reports.release(key(1));
        reports.release(key(1));
        assert_eq!(keys(&reports.next(FRAME_BYTES)), [1]);
    }

    #[test]
    fn the_report_of_a_cancelled_run_waits_less_for_its_log() {
        let (mut reports, now) = (Reports::default(), Instant::now());
        reports.hold(key(1), Outcome::Cancelled(None), Some(now));
        reports.hold(key(2), ok("2"), Some(now));
        assert_eq!(reports.overdue(now + CANCELLED_FLUSH_TIMEOUT, false), [key(1)]);
        let later = now + FLUSH_TIMEOUT;
        reports.resume(later);
        assert_eq!(reports.next_deadline(), Some(later + CANCELLED_FLUSH_TIMEOUT));
    }

    #[test]
    fn a_frame_of_reports_stays_below_the_message_limit() {
        let mut reports = Reports::default();
        let large = "x".repeat(1024 * 1024);
        for run in 0..3 {
            reports.add(key(run), ok(&large));
        }
        reports.add(key(3), ok("small"));
        reports.add(key(4), ok("small"));
        let frames: Vec<usize> = (0..4).map(|_| reports.next(FRAME_BYTES).len()).collect();
        assert_eq!(frames, [1, 1, 1, 2], "one that is larger goes alone");
        reports.resume(Instant::now());
        assert_eq!((0..5).map(|_| reports.next(1).len()).sum::<usize>(), 5, "one at a time");
    }

    #[test]
    fn a_large_report_that_is_cut_alone_again_and_again_is_given_up_and_goes_first_until_then() {
        let mut reports = Reports::default();
        let now = Instant::now();
        for run in 0..20 {
            reports.add(key(run), ok(&"x".repeat(LARGE_BYTES)));
        }
        let first = reports.next(1)[0].0;
        reports.next(1);
        assert_eq!(reports.cut(), None, "two were on their way");
        reports.remove(first);
        let second = *reports.unanswered.iter().next().expect("one is on its way");
        for _ in 1..MOST_CUTS {
            assert_eq!(reports.cut(), None);
            reports.resume(now);
            assert_eq!(reports.next(1)[0].0, second);
        }
        assert_eq!(reports.cut(), Some(second));
        reports.resume(now);
        let sent: Vec<_> = std::iter::from_fn(|| reports.can_send().then(|| reports.next(1).remove(0))).collect();
        assert_eq!(sent.len(), 19);
        for (key, outcome) in sent {
            let is_given_up = matches!(outcome, Outcome::Failed(failure) if failure.error_type == "ReportNotDelivered" && failure.permanent);
            assert_eq!(is_given_up, key == second);
        }
    }

    #[test]
    fn a_small_report_is_sent_for_ever() {
        let mut reports = Reports::default();
        reports.add(key(1), ok("1"));
        for _ in 0..MOST_CUTS * 10 {
            assert_eq!(reports.next(1).len(), 1);
            assert_eq!(reports.cut(), None);
            reports.resume(Instant::now());
        }
    }

    #[test]
    fn an_outcome_that_the_server_can_not_take_is_replaced_once() {
        let mut reports = Reports::default();
        reports.add(key(1), ok("1"));
        reports.next(FRAME_BYTES);
        assert!(reports.substitute(key(1), "x"));
        assert!(
            matches!(&reports.next(FRAME_BYTES)[0].1, Outcome::Failed(failure) if failure.error_type == "InvalidOutcome")
        );
        assert!(!reports.substitute(key(1), "x"));
    }
}
