//! A run, and the state machine that it lives by.
//!
//! ```text
//!            claim            begin            succeed
//!   queued ---------> claimed ------> running ---------> succeeded
//!     ^  |               |             |  |
//!     |  |   give back   |   retry,    |  +-- fail ----> failed
//!     +--|---------------+   snooze,   |
//!     |  |               |   give back |
//!     +--|---------------|-------------+
//!        |               |             |
//!        +--- cancel ----+- confirm ---+---------------> cancelled
//! ```
//!
//! A start that is not written yet is carried by the report, so `claimed` may also end as `running` may.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::outcome::GrantEnd;
use crate::domain::{Lane, RunError, TenantId, TraceParent};

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RunStatus {
    Queued,
    Claimed,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl RunStatus {
    pub const ALL: [RunStatus; 6] = [
        RunStatus::Queued,
        RunStatus::Claimed,
        RunStatus::Running,
        RunStatus::Succeeded,
        RunStatus::Failed,
        RunStatus::Cancelled,
    ];

    /// The word in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            RunStatus::Queued => "queued",
            RunStatus::Claimed => "claimed",
            RunStatus::Running => "running",
            RunStatus::Succeeded => "succeeded",
            RunStatus::Failed => "failed",
            RunStatus::Cancelled => "cancelled",
        }
    }

    /// The status of a word in SQL.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Terminal states are final: nothing ever changes them.
    pub fn is_terminal(self) -> bool {
        self.successors().is_empty()
    }

    /// Whether a worker holds the run.
    pub fn is_held(self) -> bool {
        matches!(self, RunStatus::Claimed | RunStatus::Running)
    }

    /// The whole transition table: what a run may become next. The guards of the statements in `store/run/` are these
    /// rows, from the other side.
    pub fn successors(self) -> &'static [RunStatus] {
        use RunStatus::*;
        match self {
            // claim; claim and begin (unary); cancel
            Queued => &[Claimed, Running, Cancelled],
            // give back; begin; the report that carries the start; cancel
            Claimed => &[Queued, Running, Succeeded, Failed, Cancelled],
            // retry, snooze, give back; succeed; fail; confirm a cancel
            Running => &[Queued, Succeeded, Failed, Cancelled],
            Succeeded | Failed | Cancelled => &[],
        }
    }

    /// Where a run goes when a grant of it ends. The statements call the same rule in SQL, `migrations/functions/run_next.sql`; a test
    /// compares the two.
    ///
    /// `begun`: the worker has started. `attempts_left`: another attempt may follow this one.
    pub fn after(end: GrantEnd, begun: bool, cancel_requested: bool, attempts_left: bool) -> RunStatus {
        use RunStatus::*;
        match (end, begun, cancel_requested, attempts_left) {
            // A success always stands.
            (GrantEnd::Succeeded, _, _, _) => Succeeded,
            (GrantEnd::Lost, false, _, _) => Queued,
            // After a cancel was requested, every other end confirms it.
            (_, _, true, _) | (GrantEnd::Cancelled, _, _, _) => Cancelled,
            // These attempts do not count.
            (GrantEnd::Snoozed | GrantEnd::Released, _, _, _) => Queued,
            (GrantEnd::Failed | GrantEnd::Lost, _, _, true) => Queued,
            (GrantEnd::Failed | GrantEnd::FailedPermanently | GrantEnd::Lost, _, _, _) => Failed,
        }
    }

    /// Whether the state machine has this edge.
    pub fn may_become(self, next: RunStatus) -> bool {
        self.successors().contains(&next)
    }
}

/// Why a queued run is not offered to workers yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitReason {
    /// `run_after` has not come.
    Scheduled,
    /// Too many workers in a row were given it and did not begin.
    Undelivered,
}

impl WaitReason {
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "scheduled" => Some(WaitReason::Scheduled),
            "undelivered" => Some(WaitReason::Undelivered),
            _ => None,
        }
    }
}

/// How far a run is, as its worker says.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// From 0 to 1.
    pub fraction: f64,
    pub message: String,
}

/// How a cancel was asked for, and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Cancellation {
    pub requested_at: DateTime<Utc>,
    pub reason: String,
    pub grace: Duration,
    /// Set once the run is cancelled: whether what ran is known to have stopped.
    pub confirmed: Option<bool>,
}

/// A run as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub id: Uuid,
    pub tenant_id: TenantId,
    pub session_id: Uuid,
    pub lane: Lane,
    pub priority: i32,
    pub kind: String,
    /// A JSON object, as text.
    pub params: String,
    pub labels: BTreeMap<String, String>,
    pub status: RunStatus,
    pub wait_reason: Option<WaitReason>,
    pub attempt: i32,
    pub max_attempts: i32,
    pub timeout: Option<Duration>,
    pub claimed_by: Option<String>,
    pub worker_id: Option<Uuid>,
    pub fence: i64,
    pub revision: i64,
    pub progress: Option<Progress>,
    /// A JSON value, as text.
    pub result: Option<String>,
    pub error: Option<RunError>,
    pub cancellation: Option<Cancellation>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub run_after: DateTime<Utc>,
    pub claimed_at: Option<DateTime<Utc>>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub heartbeat_at: Option<DateTime<Utc>>,
    /// Who caused it, in a distributed trace.
    pub traceparent: Option<TraceParent>,
}

/// What a new run shall be; already checked.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSpec {
    pub session_id: Uuid,
    pub lane: Lane,
    pub priority: i32,
    pub kind: String,
    /// A JSON object, as text.
    pub params: String,
    pub labels: BTreeMap<String, String>,
    pub max_attempts: i32,
    pub timeout: Option<Duration>,
    pub run_after: Option<DateTime<Utc>>,
    pub request_id: Option<String>,
    pub traceparent: Option<TraceParent>,
}

#[cfg(test)]
mod tests {
    use super::GrantEnd;
    use super::RunStatus::{self, *};

    #[test]
    fn each_pair_of_states_is_allowed_or_not_as_the_table_says() {
        let allowed = [
            (Queued, Claimed),
            (Queued, Running),
            (Queued, Cancelled),
            (Claimed, Queued),
            (Claimed, Running),
            (Claimed, Succeeded),
            (Claimed, Failed),
            (Claimed, Cancelled),
            (Running, Queued),
            (Running, Succeeded),
            (Running, Failed),
            (Running, Cancelled),
        ];
        for from in RunStatus::ALL {
            for to in RunStatus::ALL {
                assert_eq!(from.may_become(to), allowed.contains(&(from, to)), "{from:?} -> {to:?}");
            }
        }
    }

    #[test]
    fn a_grant_that_ends_leads_where_the_state_machine_has_an_edge() {
        for end in GrantEnd::ALL {
            for (cancel_requested, attempts_left) in [(false, false), (false, true), (true, false), (true, true)] {
                for (begun, from) in [(false, Claimed), (true, Running)] {
                    let next = RunStatus::after(end, begun, cancel_requested, attempts_left);
                    assert!(from.may_become(next), "{end:?}: {from:?} -> {next:?}");
                }
            }
        }
    }

    #[test]
    fn terminal_states_are_final() {
        for status in [Succeeded, Failed, Cancelled] {
            assert!(status.is_terminal());
            assert!(RunStatus::ALL.into_iter().all(|next| !status.may_become(next)));
        }
    }

    #[test]
    fn words_are_read_back() {
        for status in RunStatus::ALL {
            assert_eq!(RunStatus::parse(status.as_str()), Some(status));
        }
        assert_eq!(RunStatus::parse("Queued"), None);
    }
}
