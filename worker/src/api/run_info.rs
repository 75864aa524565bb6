//! The run that a handler executes.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

/// The run that a handler executes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunInfo {
    /// The run's id, a UUID.
    pub run_id: String,
    /// The session that it belongs to.
    pub session_id: String,
    /// What kind of work it is.
    pub kind: String,
    /// Its input; numbers keep all their digits.
    pub params: Value,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Which attempt this is, from 1.
    pub attempt: i32,
    /// How many attempts there may be.
    pub max_attempts: i32,
    /// How long this attempt may take.
    pub timeout: Option<Duration>,
    /// Who caused the run, in a distributed trace: a W3C `traceparent`.
    pub traceparent: Option<String>,
}
