//! The measurements of the demonstration.

use std::{fmt::Write, time::Duration};

use proto::v1::{Artifact, Session};

use crate::output::times::span;

#[derive(Debug)]
pub(super) struct Summary<'a> {
    pub(super) session: &'a Session,
    pub(super) artifact: &'a Artifact,
    /// The time from enqueue to start of the runs that were enqueued together and waited for slots.
    pub(super) queued_starts: Vec<Duration>,
    /// The time from enqueue to start of the runs that found the worker idle.
    pub(super) idle_starts: Vec<Duration>,
    /// The time from the cancel to the end of the run, by this program's clock.
    pub(super) cancelled_in: Duration,
    pub(super) took: Duration,
}

impl Summary<'_> {
    pub(super) fn text(&self) -> String {
        let session = self.session;
        let mut text = String::from("\nSummary\n\n");
        let mut line = |name: &str, value: String| {
            // Writing to a String can not fail.
            let _ = writeln!(text, "  {name:<20}  {value}");
        };
        line(
            "session",
            format!(
                "completed: {} runs in {}, {} succeeded, {} failed, {} cancelled; the counters match what was watched",
                session.total_runs,
                span(self.took),
                session.succeeded_runs,
                session.failed_runs,
                session.cancelled_runs
            ),
        );
        line("enqueue -> start", format!("{} when the worker is idle", spread(&self.idle_starts)));
        line("", format!("{} when they wait for its slots, best priority first", spread(&self.queued_starts)));
        line("cancel -> stopped", format!("{}, confirmed by the worker", span(self.cancelled_in)));
        line(
            "artifact",
            format!(
                "{}, {} bytes of {}, read back the same",
                self.artifact.name,
                self.artifact.size_bytes.unwrap_or_default(),
                self.artifact.mime_type
            ),
        );
        text
    }
}

/// The median and the largest of some durations.
fn spread(spans: &[Duration]) -> String {
    let mut sorted = spans.to_vec();
    sorted.sort_unstable();
    match (sorted.get(sorted.len() / 2), sorted.last()) {
        (Some(median), Some(max)) => format!("median {}, max {} ({} runs)", span(*median), span(*max), sorted.len()),
        _ => "not measured".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_median_and_the_largest() {
        let spans = [30, 10, 20].map(Duration::from_millis);
        assert_eq!(spread(&spans), "median 20 ms, max 30 ms (3 runs)");
        assert_eq!(spread(&[]), "not measured");
    }
}
