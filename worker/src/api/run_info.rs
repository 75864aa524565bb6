//! The run that a handler executes.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

/// The run that a handler executes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunInfo {
    /// The run's id, a UUID.
    pub run_id: String,
    /// The id of its session.
    pub session_id: String,
    /// Its kind.
    pub kind: String,
    /// Its params; numbers keep all their digits.
    pub params: Value,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The number of this attempt, from 1.
    pub attempt: i32,
    /// The largest number of attempts.
    pub max_attempts: i32,
    /// How long this attempt may take; `None` = no limit.
    pub timeout: Option<Duration>,
    /// The place of the run in a distributed trace, as a W3C `traceparent`.
    pub traceparent: Option<String>,
}
