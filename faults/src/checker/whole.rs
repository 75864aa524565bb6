//! The minimum that a history must contain, so that the other proofs mean something.

use super::evidence::Evidence;
use super::verdict::{Proof, Violation};
use crate::history::What;

/// The missing parts.
pub fn violations(evidence: &Evidence<'_>) -> Vec<Violation> {
    let has = |wanted: fn(&What) -> bool| evidence.first(wanted).is_some();
    let needed = [
        (!evidence.runs.is_empty(), "no run is in the database"),
        (!evidence.executions.is_empty(), "nothing was executed"),
        (has(|what| matches!(what, What::WatchSettled { .. })), "no watcher settled"),
        (has(|what| matches!(what, What::Quiet)), "the faults were never over"),
        (has(|what| matches!(what, What::Settled { .. })), "the lab did not wait for the end"),
    ];
    let missing = needed.into_iter().filter(|(there, _)| !there);
    missing.map(|(_, what)| Violation::new(Proof::Whole, what.to_owned(), [])).collect()
}
