//! Judges the folder of a run. Each file checks one promise and returns its violations.
//!
//! All of them read the `evidence`: the history and the final database, indexed by key. `judge` runs all checks.

mod evidence;
mod verdict;

mod acknowledged;
mod counters;
mod executions;
mod liveness;
mod results;
mod states;
mod watching;
mod whole;

mod judge;

#[cfg(test)]
mod example;
#[cfg(test)]
mod tests;

pub use judge::{check, judge};
pub use verdict::{Facts, Proof, Verdict, Violation};
