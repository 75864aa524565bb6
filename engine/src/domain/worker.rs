//! Processes that execute runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::{GrantKey, Lane};

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
pub struct CancelOrder {
    pub worker_id: Uuid,
    pub grant: GrantKey,
    pub kind: CancelKind,
    pub grace: Duration,
    pub reason: String,
    /// How long ago the cancel was requested.
    pub asked_ago: Duration,
}

/// A worker must stop, or has lost the grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelKind {
    Cancel,
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
