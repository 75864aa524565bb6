//! The result of an overload, as a table.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::callers::Answers;
use super::worker::Seen;
use crate::times::Times;

/// The offered load, and the server's answers to it.
#[derive(Debug)]
pub struct Report {
    /// Runs a second that were enqueued when each caller waited for its answer.
    pub(super) capacity: f64,
    pub(super) seconds: f64,
    /// Runs.
    pub(super) offered: u64,
    pub(super) served: u64,
    pub(super) refused: u64,
    pub(super) late: u64,
    /// Runs that workers ended during the load.
    pub(super) ended: u64,
    pub(super) answers: Arc<Answers>,
    pub(super) seen: Arc<Seen>,
    /// Memory of the server, in bytes.
    pub(super) memory_before: f64,
    pub(super) memory_highest: f64,
    /// From the end of the load to the next call that was served.
    pub(super) recovered_in: Duration,
    /// Broken promises.
    pub violations: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = |runs: u64| format!("{:.0} runs/s", runs as f64 / self.seconds);
        let times = |times: &Times| {
            let [p50, p99, most] = [50.0, 99.0, 100.0].map(|percentile| times.percentile(percentile));
            format!("p50 {p50:.1} ms, p99 {p99:.1} ms, most {most:.0} ms ({} of them)", times.len())
        };
        let mib = |bytes: f64| format!("{:.0} MiB", bytes / f64::from(1 << 20));
        writeln!(f, "| | |\n|---|---|")?;
        writeln!(f, "| enqueued when callers wait for their answers | {:.0} runs/s |", self.capacity)?;
        writeln!(f, "| offered, for {:.0} s | {} |", self.seconds, rate(self.offered))?;
        writeln!(f, "| served | {} |", rate(self.served))?;
        writeln!(f, "| refused as `OVERLOADED` | {} |", rate(self.refused))?;
        writeln!(f, "| given up by their callers after 5 s | {} |", rate(self.late))?;
        writeln!(f, "| runs that workers ended meanwhile | {} |", rate(self.ended))?;
        writeln!(f, "| a call that is served | {} |", times(&self.answers.served_times))?;
        writeln!(f, "| a call that is refused | {} |", times(&self.answers.refused_times))?;
        writeln!(f, "| heartbeat to its answer | {} |", times(&self.seen.heartbeat_times))?;
        writeln!(f, "| result to its acknowledgement | {} |", times(&self.seen.report_times))?;
        writeln!(f, "| cancel to worker | {} |", times(&self.seen.cancel_times))?;
        let memory = (mib(self.memory_before), mib(self.memory_highest));
        writeln!(f, "| memory of the server before, and at most | {}, {} |", memory.0, memory.1)?;
        writeln!(f, "| served again after the load | {:.0} ms |", self.recovered_in.as_secs_f64() * 1_000.0)?;
        for violation in &self.violations {
            writeln!(f, "violation: {violation}")?;
        }
        Ok(())
    }
}
