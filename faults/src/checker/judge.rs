//! Checks all promises.

use std::path::Path;

use anyhow::Result;

use super::evidence::Evidence;
use super::verdict::{Facts, Verdict};
use super::{acknowledged, counters, executions, liveness, results, states, watching, whole};
use crate::history::{Folder, What};

/// Judges the folder of a run.
///
/// # Errors
///
/// The folder is not what a run writes.
pub fn check(folder: &Path) -> Result<Verdict> {
    Ok(judge(&Folder::open(folder)?))
}

/// Judges a history.
pub fn judge(folder: &Folder) -> Verdict {
    let evidence = Evidence::of(folder);
    let always = [whole::violations, acknowledged::violations, liveness::violations];
    // While runs have not ended, the database does not match the end of the history.
    let when_settled =
        [results::violations, states::violations, executions::violations, counters::violations, watching::violations];
    let settled = evidence.first(|what| matches!(what, What::Settled { in_time: true })).is_some();
    let proofs = always.iter().chain(when_settled.iter().filter(|_| settled));
    let violations = proofs.flat_map(|proof| proof(&evidence)).collect();
    Verdict { seed: folder.plan.seed, facts: Facts::of(&evidence), violations }
}
