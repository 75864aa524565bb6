//! Processes that execute runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::{GrantKey, Identity, Lane};

/// How a worker gets its runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkerMode {
    Stream,
    Unary,
}

impl WorkerMode {
    pub fn as_str(self) -> &'static str {
        match self {
            WorkerMode::Stream => "stream",
            WorkerMode::Unary => "unary",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        [WorkerMode::Stream, WorkerMode::Unary].into_iter().find(|mode| mode.as_str() == word)
    }
}

/// The state of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkerState {
    Active,
    /// Active or disconnected in the database, with a drain requested.
    Draining,
    Disconnected,
    Lost,
    Gone,
}

impl WorkerState {
    pub const ALL: [WorkerState; 5] =
        [WorkerState::Active, WorkerState::Draining, WorkerState::Disconnected, WorkerState::Lost, WorkerState::Gone];

    pub fn as_str(self) -> &'static str {
        match self {
            WorkerState::Active => "active",
            WorkerState::Draining => "draining",
            WorkerState::Disconnected => "disconnected",
            WorkerState::Lost => "lost",
            WorkerState::Gone => "gone",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// The current state of a worker.
#[derive(Debug, Clone, PartialEq)]
pub struct Worker {
    pub id: Uuid,
    pub name: String,
    pub mode: WorkerMode,
    pub state: WorkerState,
    pub lanes: Vec<Lane>,
    pub kinds: Vec<String>,
    pub labels: BTreeMap<String, String>,
    pub version: String,
    pub held_runs: i32,
    pub created_at: DateTime<Utc>,
    pub heartbeat_at: DateTime<Utc>,
    /// Why it takes no runs for now, and until when.
    pub pause: Option<(String, DateTime<Utc>)>,
}

/// A worker takes no runs for now, because it lacks what they need.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerPause {
    pub reason: String,
    pub remaining: Duration,
}

/// How a worker describes itself; already checked.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerProfile {
    pub name: String,
    /// At least one.
    pub lanes: BTreeSet<Lane>,
    /// Empty: any kind.
    pub kinds: BTreeSet<String>,
    pub labels: BTreeMap<String, String>,
    pub version: String,
}

/// An order to a worker about a grant that it holds, or held.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    pub worker_id: Uuid,
    pub grant: GrantKey,
    pub kind: OrderKind,
    pub grace: Duration,
    pub reason: String,
    /// How long ago the order was given.
    pub asked_ago: Duration,
}

/// What an order says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderKind {
    /// The worker must stop the run, and report.
    Cancel,
    /// The worker has lost the grant, and must drop the run.
    Revoke,
}

/// A unary call for runs; already checked.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimRequest {
    pub worker_name: String,
    /// At least one.
    pub lanes: BTreeSet<Lane>,
    /// Empty: any kind.
    pub kinds: BTreeSet<String>,
    pub max_runs: i32,
    /// How long to wait for the first run.
    pub wait: Duration,
    /// `None`: the server's setting.
    pub lease_timeout: Option<Duration>,
    pub request_id: Option<String>,
}

impl ClaimRequest {
    /// The values in which two calls of a worker with the same request id must agree. The id of the worker stands for its name.
    pub fn identity(&self, worker_id: Uuid) -> Identity {
        // This pattern names every field, so that a new one does not compile before it has its place here.
        let ClaimRequest { worker_name: _, lanes, kinds, max_runs, wait, lease_timeout, request_id: _ } = self;
        Identity::of("Claim")
            .with("worker_id", [worker_id.to_string()])
            .with_set("lanes", lanes.iter().map(|lane| lane.as_str()))
            .with_set("kinds", kinds)
            .with("max_runs", [max_runs.to_string()])
            .with("wait", [wait.as_nanos().to_string()])
            .with("lease_timeout", lease_timeout.map(|timeout| timeout.as_nanos().to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_of_a_claim_stays_the_same() {
        let claim = ClaimRequest {
            worker_name: "w".into(),
            lanes: [Lane::A, Lane::B].into(),
            kinds: ["k".to_owned()].into(),
            max_runs: 3,
            wait: Duration::from_secs(2),
            lease_timeout: Some(Duration::from_secs(10)),
            request_id: Some("id".into()),
        };
        assert_eq!(
            claim.identity(Uuid::from_u128(1)).hex(),
            "9a91850c503ce793521622c9f4315ad4a1054a982ecb9cae3c5b15f99b9f040c"
        );
    }
}
