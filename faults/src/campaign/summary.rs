//! The results of all seeds, as a table.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::child::{End, Outcome};
use crate::checker::Proof;
use crate::history::FaultClass;

/// How often an event happened, and in how many seeds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Times {
    all: usize,
    seeds: usize,
}

/// The result of a campaign.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    seeds: usize,
    runs: usize,
    executions: usize,
    events: usize,
    longest: Duration,
    faults: BTreeMap<FaultClass, Times>,
    violations: BTreeMap<Proof, Times>,
    /// The seeds that were not good.
    bad: Vec<(u64, Outcome, Option<PathBuf>)>,
}

impl Summary {
    pub(super) fn add(&mut self, end: &End) {
        self.seeds += 1;
        self.longest = self.longest.max(end.took);
        if end.outcome != Outcome::Good {
            self.bad.push((end.seed, end.outcome, end.kept.clone()));
        }
        let Some(verdict) = &end.verdict else { return };
        self.runs += verdict.facts.runs;
        self.executions += verdict.facts.executions;
        self.events += verdict.facts.events;
        for (fault, times) in &verdict.facts.faults {
            let all = self.faults.entry(*fault).or_default();
            *all = Times { all: all.all + times, seeds: all.seeds + 1 };
        }
        let mut broken: BTreeMap<Proof, usize> = BTreeMap::new();
        for violation in &verdict.violations {
            *broken.entry(violation.proof).or_default() += 1;
        }
        for (proof, times) in broken {
            let all = self.violations.entry(proof).or_default();
            *all = Times { all: all.all + times, seeds: all.seeds + 1 };
        }
    }

    /// Whether every seed kept every promise.
    pub fn is_good(&self) -> bool {
        self.bad.is_empty()
    }

    /// Whether a seed broke a promise; a run that only failed does not count.
    pub fn is_broken(&self) -> bool {
        self.bad.iter().any(|(_, outcome, _)| *outcome == Outcome::Broken)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { seeds, runs, executions, events, longest, .. } = self;
        writeln!(f, "{seeds} seeds: {runs} runs, {executions} executions, {events} events, the longest {longest:.0?}")?;
        if !self.faults.is_empty() {
            writeln!(f, "  {:<24} {:>7} {:>9}", "fault", "times", "in seeds")?;
        }
        for (fault, times) in &self.faults {
            writeln!(f, "  {:<24} {:>7} {:>9}", fault.to_string(), times.all, times.seeds)?;
        }
        if !self.violations.is_empty() {
            writeln!(f, "  {:<24} {:>7} {:>9}", "violated", "times", "in seeds")?;
        }
        for (proof, times) in &self.violations {
            writeln!(f, "  {:<24} {:>7} {:>9}", proof.to_string(), times.all, times.seeds)?;
        }
        for (seed, outcome, kept) in &self.bad {
            let kept = kept.as_ref().map(|folder| format!(", kept in {}", folder.display())).unwrap_or_default();
            writeln!(f, "{outcome}: again with `faults run --seed {seed}`{kept}")?;
        }
        match self.bad.len() {
            0 => writeln!(f, "good: every promise was kept with each of {seeds} seeds"),
            bad => writeln!(f, "{bad} of {seeds} seeds were not good"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::{Facts, Verdict, Violation};

    fn end(seed: u64, outcome: Outcome, faults: &[(FaultClass, usize)], broken: &[Proof]) -> End {
        let facts = Facts { runs: 10, faults: faults.iter().copied().collect(), ..Facts::default() };
        let violation = |proof: &Proof| Violation { proof: *proof, what: String::new(), lines: Vec::new() };
        let verdict = Verdict { seed, facts, violations: broken.iter().map(violation).collect() };
        let took = Duration::from_secs(seed);
        End { seed, outcome, took, verdict: Some(verdict), kept: None, output_end: String::new() }
    }

    #[test]
    fn a_summary_counts_seeds_faults_and_violations_and_says_how_to_repeat_a_run() {
        let mut summary = Summary::default();
        summary.add(&end(1, Outcome::Good, &[(FaultClass::WorkerKilled, 2)], &[]));
        assert!(summary.is_good());
        let broken = [Proof::Watching, Proof::Watching];
        summary.add(&end(2, Outcome::Broken, &[(FaultClass::WorkerKilled, 3), (FaultClass::ServerKilled, 1)], &broken));
        summary.add(&End { verdict: None, ..end(3, Outcome::Hung, &[], &[]) });
        let text = summary.to_string();
        for line in [
            "3 seeds: 20 runs, 0 executions, 0 events, the longest 3s",
            "  worker_killed                  5         2",
            "  server_killed                  1         1",
            "  watching                       2         1",
            "BROKEN: again with `faults run --seed 2`",
            "HUNG: again with `faults run --seed 3`",
            "2 of 3 seeds were not good",
        ] {
            assert!(text.contains(line), "{line:?} in\n{text}");
        }
        assert!(!summary.is_good() && summary.is_broken());
    }
}
