//! The status of a run after a grant of it has ended: why a run is retried, fails or is cancelled.
//!
//! `migrations/functions/run_next.sql` is the same rule for the statements. A test compares the two.

use crate::domain::RunStatus;

/// The status of a run after its grant has ended.
///
/// `started`: the worker was sent a Start. `attempts_left`: another attempt may follow this one.
pub fn run_next(end: GrantEnd, started: bool, cancel_requested: bool, attempts_left: bool) -> RunStatus {
    use RunStatus::*;
    match (end, started, cancel_requested, attempts_left) {
        // A success always stands.
        (GrantEnd::Succeeded, _, _, _) => Succeeded,
        (GrantEnd::Lost, false, _, _) => Queued,
        // After a cancel was requested, every other end confirms it.
        (_, _, true, _) | (GrantEnd::Cancelled, _, _, _) => Cancelled,
        // A snoozed or released attempt does not count.
        (GrantEnd::Snoozed | GrantEnd::Released, _, _, _) => Queued,
        (GrantEnd::Failed | GrantEnd::Lost, _, _, true) => Queued,
        (GrantEnd::Failed | GrantEnd::FailedPermanently | GrantEnd::Lost, _, _, _) => Failed,
    }
}

/// How a grant ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantEnd {
    Succeeded,
    Failed,
    /// Another attempt can not help.
    FailedPermanently,
    Cancelled,
    Snoozed,
    /// The grant was given back before it started.
    Released,
    /// The lease has ended.
    Lost,
}

impl GrantEnd {
    pub const ALL: [GrantEnd; 7] = [
        GrantEnd::Succeeded,
        GrantEnd::Failed,
        GrantEnd::FailedPermanently,
        GrantEnd::Cancelled,
        GrantEnd::Snoozed,
        GrantEnd::Released,
        GrantEnd::Lost,
    ];

    /// The word in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            GrantEnd::Succeeded => "succeeded",
            GrantEnd::Failed => "failed",
            GrantEnd::FailedPermanently => "failed_permanently",
            GrantEnd::Cancelled => "cancelled",
            GrantEnd::Snoozed => "snoozed",
            GrantEnd::Released => "released",
            GrantEnd::Lost => "lost",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_grant_follows_an_edge_of_the_state_machine() {
        for end in GrantEnd::ALL {
            for (cancel_requested, attempts_left) in [(false, false), (false, true), (true, false), (true, true)] {
                for (started, from) in [(false, RunStatus::Claimed), (true, RunStatus::Running)] {
                    let next = run_next(end, started, cancel_requested, attempts_left);
                    assert!(from.may_become(next), "{end:?}: {from:?} -> {next:?}");
                }
            }
        }
    }
}
