//! Violations and verdicts, and their texts.

use std::collections::BTreeMap;
use std::fmt;

use super::evidence::Evidence;
use crate::history::{Event, FaultClass, What};

/// The promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proof {
    /// The history is complete enough to prove something.
    Whole,
    /// Acknowledged requests are stored, refused ones are not.
    Acknowledged,
    /// One accepted result a grant, of an execution of that grant.
    Results,
    /// One sequence of states a run.
    States,
    /// Executions match grants.
    Executions,
    /// The counters of a session match its runs.
    Counters,
    /// Watchers miss no change.
    Watching,
    /// Everything ends.
    Liveness,
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Proof::Whole => "whole",
            Proof::Acknowledged => "acknowledged",
            Proof::Results => "results",
            Proof::States => "states",
            Proof::Executions => "executions",
            Proof::Counters => "counters",
            Proof::Watching => "watching",
            Proof::Liveness => "liveness",
        })
    }
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq)]
pub struct Violation {
    pub proof: Proof,
    /// One sentence that names the run, the fence and the actors.
    pub what: String,
    /// The events that show it.
    pub lines: Vec<Event>,
}

impl Violation {
    pub(crate) fn new(proof: Proof, what: String, lines: impl IntoIterator<Item = Event>) -> Self {
        Self { proof, what, lines: lines.into_iter().collect() }
    }
}

/// The most events that are printed for a violation. The folder has all of them.
const MOST_LINES: usize = 24;

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.proof, self.what)?;
        for event in self.lines.iter().take(MOST_LINES) {
            let what = serde_json::to_string(&event.what).map_err(|_| fmt::Error)?;
            writeln!(f, "    {:>14.6} s  {:<12} {what}", seconds(event.at_us), event.actor)?;
        }
        if self.lines.len() > MOST_LINES {
            writeln!(f, "    and {} lines more", self.lines.len() - MOST_LINES)?;
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds since the machine started fit")]
fn seconds(at_us: i64) -> f64 {
    at_us as f64 / 1e6
}

/// The size of a run. A small one proves little.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    pub events: usize,
    pub runs: usize,
    pub executions: usize,
    pub faults: BTreeMap<FaultClass, usize>,
    /// Histories with a torn last line.
    pub torn: usize,
}

impl Facts {
    pub(super) fn of(evidence: &Evidence<'_>) -> Self {
        let mut facts =
            Self { events: evidence.events.len(), runs: evidence.runs.len(), torn: evidence.torn, ..Self::default() };
        for event in evidence.events {
            match event.what {
                What::ExecutionBegan { .. } => facts.executions += 1,
                What::FaultBegan { fault, .. } => *facts.faults.entry(fault).or_default() += 1,
                _ => {}
            }
        }
        facts
    }
}

/// The verdict on a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    pub seed: u64,
    pub facts: Facts,
    pub violations: Vec<Violation>,
}

impl Verdict {
    /// Whether all promises were kept.
    pub fn is_good(&self) -> bool {
        self.violations.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Facts { events, runs, executions, faults, torn } = &self.facts;
        let faults: Vec<_> = faults.iter().map(|(fault, times)| format!("{times} {fault}")).collect();
        let faults = if faults.is_empty() { "no faults".to_owned() } else { faults.join(", ") };
        writeln!(
            f,
            "seed {}: {runs} runs, {executions} executions, {events} events, {torn} torn; {faults}",
            self.seed
        )?;
        for violation in &self.violations {
            write!(f, "{violation}")?;
        }
        match self.violations.len() {
            0 => writeln!(f, "good: every promise was kept"),
            1 => writeln!(f, "BROKEN: 1 violation"),
            more => writeln!(f, "BROKEN: {more} violations"),
        }
    }
}
