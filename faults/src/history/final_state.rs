//! The database after everything has settled.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::Status;

/// The statement that returns the text of `final.json`.
pub const DUMP: &str = include_str!("final.sql");

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FinalState {
    pub runs: Vec<RunRow>,
    /// Grants that ended without ending their run.
    pub grants: Vec<GrantRow>,
    pub sessions: Vec<SessionRow>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRow {
    pub id: Uuid,
    pub session: Uuid,
    pub labels: BTreeMap<String, String>,
    pub lane: String,
    pub kind: String,
    pub status: Status,
    pub wait_reason: Option<String>,
    pub attempt: i32,
    pub max_attempts: i32,
    pub fence: i64,
    pub revision: i64,
    pub worker: Option<Uuid>,
    pub claimed_by: Option<String>,
    pub result: Option<Value>,
    pub error: Option<Value>,
    /// `worker`, `recovery` or `cancel`.
    pub outcome_source: Option<String>,
    pub cancel_requested: bool,
    pub cancel_confirmed: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GrantRow {
    pub run: Uuid,
    pub fence: i64,
    pub worker: Uuid,
    pub attempt: i32,
    pub outcome_source: String,
    pub error: Option<Value>,
}

/// A session. Its counters include the deltas that are not folded yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionRow {
    pub id: Uuid,
    pub status: String,
    pub total: i64,
    pub succeeded: i64,
    pub failed: i64,
    pub cancelled: i64,
}

/// The key of a run in the request that created it.
pub fn key_of(run: &RunRow) -> Option<&str> {
    run.labels.get("key").map(String::as_str)
}

/// The token in a stored result or error, which names the execution that reported it. A worker that shuts down puts the
/// error of its handler into its own error.
pub fn token_of(outcome: &Value) -> Option<&str> {
    let places = ["/token", "/context/token", "/context/error/context/token"];
    places.iter().find_map(|place| outcome.pointer(place)).and_then(Value::as_str)
}
