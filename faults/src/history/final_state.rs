//! The database after everything has settled.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::Status;

/// The statement whose one text is a run's `final.json`.
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

/// With what is not folded yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionRow {
    pub id: Uuid,
    pub status: String,
    pub total: i64,
    pub succeeded: i64,
    pub failed: i64,
    pub cancelled: i64,
}

/// The key under which a run was asked for.
pub fn key_of(run: &RunRow) -> Option<&str> {
    run.labels.get("key").map(String::as_str)
}

/// The token in what was kept of an outcome, a result or an error: it names the execution that reported it. A worker that shuts
/// down keeps what its handler said within what it says itself.
pub fn token_of(outcome: &Value) -> Option<&str> {
    let places = ["/token", "/context/token", "/context/error/context/token"];
    places.iter().find_map(|place| outcome.pointer(place)).and_then(Value::as_str)
}
