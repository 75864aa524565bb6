//! What came of it, for people.

use std::fmt;
use std::time::Duration;

use super::samples::Times;

/// What was offered, and what became of it.
#[derive(Debug)]
pub struct Report {
    /// Runs a second that were enqueued when each caller waited for its answer.
    pub capacity: f64,
    pub seconds: f64,
    /// Runs.
    pub offered: u64,
    pub served: u64,
    pub refused: u64,
    pub late: u64,
    /// Runs that ended meanwhile.
    pub ended: u64,
    pub served_in: Times,
    pub refused_in: Times,
    pub heartbeats: Times,
    pub reports: Times,
    pub cancels: Times,
    /// Of the server, in bytes.
    pub memory_before: u64,
    pub memory_highest: u64,
    /// From the end of the load until a call was served again.
    pub recovered_in: Duration,
    /// What should not have happened.
    pub violations: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = |runs: u64| format!("{:.0} runs/s", runs as f64 / self.seconds);
        let times = |times: &Times| {
            let [p50, p99, most] = [0.5, 0.99, 1.0].map(|part| times.quantile(part).as_secs_f64() * 1_000.0);
            format!("p50 {p50:.1} ms, p99 {p99:.1} ms, most {most:.0} ms ({} of them)", times.count())
        };
        let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
        writeln!(f, "| | |\n|---|---|")?;
        writeln!(f, "| enqueued when callers wait for their answers | {:.0} runs/s |", self.capacity)?;
        writeln!(f, "| offered, for {:.0} s | {} |", self.seconds, rate(self.offered))?;
        writeln!(f, "| served | {} |", rate(self.served))?;
        writeln!(f, "| refused as `OVERLOADED` | {} |", rate(self.refused))?;
        writeln!(f, "| given up by their clients after 5 s | {} |", rate(self.late))?;
        writeln!(f, "| runs that workers ended meanwhile | {} |", rate(self.ended))?;
        writeln!(f, "| a call that is served | {} |", times(&self.served_in))?;
        writeln!(f, "| a call that is refused | {} |", times(&self.refused_in))?;
        writeln!(f, "| heartbeat to its answer | {} |", times(&self.heartbeats))?;
        writeln!(f, "| result to its acknowledgement | {} |", times(&self.reports))?;
        writeln!(f, "| cancel asked to worker told | {} |", times(&self.cancels))?;
        let memory = (mib(self.memory_before), mib(self.memory_highest));
        writeln!(f, "| memory of the server before, and at the most | {}, {} |", memory.0, memory.1)?;
        writeln!(f, "| served again after the load | {:.0} ms |", self.recovered_in.as_secs_f64() * 1_000.0)?;
        for violation in &self.violations {
            writeln!(f, "violation: {violation}")?;
        }
        Ok(())
    }
}
