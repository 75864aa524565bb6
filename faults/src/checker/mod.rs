//! Judges what a run wrote down. Each file is one promise, and answers with what breaks it.
//!
//! `story` is what all of them read: the history, the database at its end, and what leads from one to the other.

use std::path::Path;

use anyhow::Result;

use crate::history::{Folder, What};

mod story;
mod verdict;

mod acknowledged;
mod counters;
mod executions;
mod liveness;
mod results;
mod states;
mod watching;
mod whole;

#[cfg(test)]
mod example;
#[cfg(test)]
mod tests;

use story::Story;

pub use verdict::{Facts, Proof, Verdict, Violation};

/// Judges a run's folder.
///
/// # Errors
///
/// When the folder is not what a run writes: then there is nothing to judge.
pub fn check(folder: &Path) -> Result<Verdict> {
    Ok(judge(&Folder::open(folder)?))
}

/// Judges what was written down.
pub fn judge(folder: &Folder) -> Verdict {
    let story = Story::of(folder);
    let always = [whole::violations, acknowledged::violations, liveness::violations];
    // While something still goes on, the database is not what the history ends with.
    let when_settled =
        [results::violations, states::violations, executions::violations, counters::violations, watching::violations];
    let settled = story.first(|what| matches!(what, What::Settled { in_time: true })).is_some();
    let proofs = always.iter().chain(when_settled.iter().filter(|_| settled));
    let violations = proofs.flat_map(|proof| proof(&story)).collect();
    Verdict { seed: folder.plan.seed, facts: Facts::of(&story), violations }
}
