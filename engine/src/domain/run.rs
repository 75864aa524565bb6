//! A run, and its state machine.
//!
//! ```text
//!            claim            start            succeed
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
//! A report carries a start that is not written yet, so `claimed` may also end as `running` may.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::json::value::spelling;
use crate::domain::{Grant, GrantKey, Identity, Lane, RunError, TenantId, TraceParent};

/// The status of a run.
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

    /// Whether the run has ended. A terminal status never changes.
    pub fn is_terminal(self) -> bool {
        self.successors().is_empty()
    }

    /// The transition table: the states that may follow each state. The statements in `store/run/` repeat it in their guards.
    pub fn successors(self) -> &'static [RunStatus] {
        use RunStatus::*;
        match self {
            // claim; claim and start (unary); cancel
            Queued => &[Claimed, Running, Cancelled],
            // give back; start; the report that carries the start; cancel
            Claimed => &[Queued, Running, Succeeded, Failed, Cancelled],
            // retry, snooze, give back; succeed; fail; confirm a cancel
            Running => &[Queued, Succeeded, Failed, Cancelled],
            Succeeded | Failed | Cancelled => &[],
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
    /// Too many workers in a row were given the run and did not start it.
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

/// The progress of a run, as its worker reports it.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// From 0 to 1.
    pub fraction: f64,
    pub message: String,
}

/// A cancel that was requested, and its result.
#[derive(Debug, Clone, PartialEq)]
pub struct Cancellation {
    pub requested_at: DateTime<Utc>,
    pub reason: String,
    pub grace: Duration,
    /// Set when the run is cancelled: whether its worker has confirmed that it stopped.
    pub confirmed: Option<bool>,
}

/// What a run does; already checked. It never changes.
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
    /// The bound of one attempt.
    pub timeout: Option<Duration>,
    /// The caller's place in a distributed trace.
    pub traceparent: Option<TraceParent>,
}

/// A request to enqueue a run; already checked.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRequest {
    pub spec: RunSpec,
    /// No worker gets the run before this time. `None`: at once.
    pub run_after: Option<DateTime<Utc>>,
    pub request_id: Option<String>,
}

impl RunRequest {
    /// The values in which two requests with the same id must agree. The trace is not one: a repeated request may come in another trace.
    /// Params are equal by value: neither space nor the order of keys counts.
    pub fn identity(&self) -> Identity {
        // These patterns name every field, so that a new one does not compile before it has its place here.
        let RunRequest { spec, run_after, request_id: _ } = self;
        let RunSpec { session_id, lane, priority, kind, params, labels, max_attempts, timeout, traceparent: _ } = spec;
        let seconds = |time: &DateTime<Utc>| format!("{}.{:09}", time.timestamp(), time.timestamp_subsec_nanos());
        Identity::of("EnqueueRun")
            .with("session_id", [session_id.to_string()])
            .with("lane", [lane.as_str()])
            .with("priority", [priority.to_string()])
            .with("kind", [kind])
            .with("params", [spelling(params)])
            .with("labels", labels.iter().flat_map(|(key, value)| [key, value]))
            .with("max_attempts", [max_attempts.to_string()])
            .with("timeout", timeout.map(|timeout| timeout.as_nanos().to_string()))
            .with("run_after", run_after.as_ref().map(seconds))
    }
}

/// The current state of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub id: Uuid,
    pub tenant_id: TenantId,
    pub spec: RunSpec,
    pub status: RunStatus,
    pub wait_reason: Option<WaitReason>,
    /// No worker gets the run before this time.
    pub run_after: DateTime<Utc>,
    pub attempt: i32,
    /// Counts the grants of the run.
    pub fence: i64,
    /// The last grant. The worker holds the run while the run is claimed or running.
    pub grant: Option<Grant>,
    pub progress: Option<Progress>,
    pub cancellation: Option<Cancellation>,
    /// A JSON value, as text.
    pub result: Option<String>,
    pub error: Option<RunError>,
    /// Each change raises it.
    pub revision: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

impl Run {
    /// A run that was enqueued at `now`.
    pub fn enqueued(
        id: Uuid,
        tenant_id: TenantId,
        spec: RunSpec,
        run_after: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Self {
        Run {
            id,
            tenant_id,
            spec,
            status: RunStatus::Queued,
            wait_reason: run_after.filter(|due| *due > now).map(|_| WaitReason::Scheduled),
            run_after: run_after.unwrap_or(now),
            attempt: 0,
            fence: 0,
            grant: None,
            progress: None,
            cancellation: None,
            result: None,
            error: None,
            revision: 1,
            created_at: now,
            updated_at: now,
            finished_at: None,
        }
    }

    /// The run after a claim. A claim for a worker without a stream also starts the run: its grant has `started_at`.
    pub fn claimed(self, claim: Claim) -> Self {
        let Claim { grant, attempt, fence, revision, error } = claim;
        Run {
            status: if grant.started_at.is_some() { RunStatus::Running } else { RunStatus::Claimed },
            wait_reason: None,
            attempt,
            fence,
            revision,
            error,
            updated_at: grant.claimed_at,
            grant: Some(grant),
            progress: None,
            ..self
        }
    }

    /// Names the last grant.
    pub fn grant_key(&self) -> GrantKey {
        GrantKey { run_id: self.id, fence: self.fence }
    }
}

/// The values that a claim changes in a queued run, and the error of the attempt before.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    pub grant: Grant,
    pub attempt: i32,
    pub fence: i64,
    pub revision: i64,
    /// The error of the attempt before.
    pub error: Option<RunError>,
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::RunStatus::*;
    use super::*;

    fn spec() -> RunSpec {
        RunSpec {
            session_id: Uuid::from_u128(1),
            lane: Lane::A,
            priority: 0,
            kind: "any".into(),
            params: "{}".into(),
            labels: BTreeMap::new(),
            max_attempts: 1,
            timeout: None,
            traceparent: None,
        }
    }

    fn enqueued(run_after: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Run {
        Run::enqueued(Uuid::from_u128(7), TenantId::new("t"), spec(), run_after, now)
    }

    #[test]
    fn a_run_waits_if_its_time_is_in_the_future() {
        let (now, hour) = (DateTime::UNIX_EPOCH, TimeDelta::hours(1));
        let state = |run_after: Option<DateTime<Utc>>| {
            let run = enqueued(run_after, now);
            (run.wait_reason, run.run_after)
        };
        assert_eq!(state(None), (None, now));
        assert_eq!(state(Some(now - hour)), (None, now - hour));
        assert_eq!(state(Some(now + hour)), (Some(WaitReason::Scheduled), now + hour));
    }

    #[test]
    fn a_claimed_run_runs_if_its_grant_has_started() {
        let (enqueued_at, claimed_at) = (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH + TimeDelta::seconds(1));
        for (started_at, status) in [(None, Claimed), (Some(claimed_at), Running)] {
            let grant = Grant {
                worker_id: Uuid::from_u128(2),
                worker_name: "w".into(),
                claimed_at,
                started_at,
                heartbeat_at: claimed_at,
            };
            let queued = enqueued(Some(claimed_at), enqueued_at);
            let claim = Claim { grant: grant.clone(), attempt: 1, fence: 3, revision: 4, error: None };
            let run = queued.claimed(claim);
            assert!(Queued.may_become(run.status));
            assert_eq!((run.status, run.wait_reason, run.updated_at), (status, None, claimed_at));
            assert_eq!((run.created_at, run.grant_key()), (enqueued_at, GrantKey { run_id: run.id, fence: 3 }));
            assert_eq!(run.grant, Some(grant));
        }
    }

    #[test]
    fn requests_that_differ_in_more_than_their_trace_are_not_the_same() {
        let request = |spec: RunSpec| RunRequest { spec, run_after: None, request_id: None };
        let first = request(spec());
        let traced = request(RunSpec { traceparent: Some(TraceParent::new([1; 16], [1; 8], 1)), ..spec() });
        assert_eq!(traced.identity().hex(), first.identity().hex());
        let others = [
            RunSpec { session_id: Uuid::from_u128(2), ..spec() },
            RunSpec { lane: Lane::B, ..spec() },
            RunSpec { priority: 1, ..spec() },
            RunSpec { kind: "other".into(), ..spec() },
            RunSpec { params: "[]".into(), ..spec() },
            RunSpec { labels: [("k".to_owned(), "v".to_owned())].into(), ..spec() },
            RunSpec { max_attempts: 2, ..spec() },
            RunSpec { timeout: Some(Duration::from_secs(1)), ..spec() },
        ];
        for other in others {
            assert_ne!(request(other.clone()).identity().hex(), first.identity().hex(), "{other:?}");
        }
        let later = RunRequest { run_after: Some(DateTime::UNIX_EPOCH), ..first.clone() };
        assert_ne!(later.identity().hex(), first.identity().hex());
    }

    #[test]
    fn the_identity_of_a_request_stays_the_same() {
        let spec = RunSpec {
            labels: [("key".to_owned(), "value".to_owned())].into(),
            timeout: Some(Duration::from_millis(1_500)),
            ..spec()
        };
        let request = RunRequest { spec, run_after: Some(DateTime::UNIX_EPOCH), request_id: Some("id".into()) };
        assert_eq!(request.identity().hex(), "bf0c3cf936eacee2f7234c40e81d5f27339a51669f3c062686c93a5ec54bf613");
    }

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
