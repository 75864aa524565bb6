//! The times of a drain. Pure.

use std::time::Duration;

use tokio::time::Instant;

use crate::runtime::attempt::{ABORT_MARGIN, ABORT_TIMEOUT, STOP_GRACE};

/// A worker stops handlers so long before the end of its drain timeout, and in addition their grace, that they can report.
const REPORT_TIME: Duration = Duration::from_secs(2);

/// A drain: the worker takes no more runs. In an operator's drain nothing has a limit.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    /// When the worker asks running handlers to stop; `None` after that.
    pub(crate) stop_at: Option<Instant>,
    /// The time that they get for it.
    pub(crate) grace: Duration,
    /// From then on outcomes do not wait for the logs of their runs.
    pub(crate) drop_logs_at: Option<Instant>,
    /// When the worker leaves, even with open grants.
    pub(crate) give_up_at: Option<Instant>,
}

impl Drain {
    /// The drain of a shutdown: everything ends within the timeout, or a second later if a handler can not be aborted.
    pub(crate) fn bounded(now: Instant, timeout: Duration) -> Self {
        let grace = STOP_GRACE.min(timeout.saturating_sub(REPORT_TIME));
        let stop_at = now + timeout.saturating_sub(grace + REPORT_TIME);
        let killed_at = stop_at + grace;
        Self {
            stop_at: Some(stop_at),
            grace,
            drop_logs_at: Some(killed_at + ABORT_MARGIN),
            give_up_at: Some(killed_at + ABORT_MARGIN + ABORT_TIMEOUT),
        }
    }

    /// When the loop must look at the drain.
    pub(crate) fn wake_at(&self, now: Instant) -> Option<Instant> {
        let drop_logs_at = self.drop_logs_at.filter(|at| now < *at);
        self.stop_at.or(drop_logs_at).or(self.give_up_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::config::DEFAULT_DRAIN_TIMEOUT;

    /// What Kubernetes gives a pod between SIGTERM and SIGKILL, unless the pod says otherwise.
    const GRACE_OF_A_POD: Duration = Duration::from_secs(30);

    #[test]
    fn by_default_everything_has_ended_before_a_pod_is_killed() {
        let now = Instant::now();
        let drain = Drain::bounded(now, DEFAULT_DRAIN_TIMEOUT);
        let seconds = |at: Option<Instant>| (at.unwrap() - now).as_secs();
        assert_eq!((seconds(drain.stop_at), drain.grace), (18, STOP_GRACE));
        assert_eq!((seconds(drain.drop_logs_at), seconds(drain.give_up_at)), (24, 26));
        // The process then sends its last spans, which takes 2 s at most.
        assert!(seconds(drain.give_up_at) + 2 < GRACE_OF_A_POD.as_secs());
    }

    #[test]
    fn a_short_timeout_leaves_less_grace() {
        let now = Instant::now();
        let of = |seconds| {
            let drain = Drain::bounded(now, Duration::from_secs(seconds));
            ((drain.stop_at.unwrap() - now).as_secs(), drain.grace.as_secs())
        };
        assert_eq!([of(0), of(2), of(4), of(7), of(8)], [(0, 0), (0, 0), (0, 2), (0, 5), (1, 5)]);
    }

    #[test]
    fn the_loop_wakes_for_each_step() {
        let now = Instant::now();
        let mut drain = Drain::bounded(now, DEFAULT_DRAIN_TIMEOUT);
        assert_eq!(drain.wake_at(now), drain.stop_at);
        drain.stop_at = None;
        assert_eq!(drain.wake_at(now), drain.drop_logs_at);
        assert_eq!(drain.wake_at(drain.drop_logs_at.unwrap()), drain.give_up_at);
        assert_eq!(Drain::default().wake_at(now), None);
    }
}
