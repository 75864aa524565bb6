//! A row of `ops.runs`, for every statement that returns runs.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::db::StoreError;
use crate::domain::run::{Cancellation, Progress, WaitReason};
use crate::domain::{Grant, Lane, Run, RunError, RunStatus, TenantId};

/// A run as it is in the database, read by `run_rows!`.
#[derive(Debug, Clone)]
pub struct RunRow {
    pub id: Uuid,
    pub tenant_id: String,
    pub session_id: Uuid,
    pub lane: String,
    pub priority: i32,
    pub kind: String,
    pub params: String,
    pub labels: String,
    pub status: String,
    pub wait_reason: Option<String>,
    pub attempt: i32,
    pub max_attempts: i32,
    pub timeout_ms: Option<i64>,
    pub claimed_by: Option<String>,
    pub worker_id: Option<Uuid>,
    pub fence: i64,
    pub revision: i64,
    pub progress_fraction: Option<f64>,
    pub progress_message: Option<String>,
    pub result: Option<String>,
    pub error: Option<String>,
    pub cancel_requested_at: Option<DateTime<Utc>>,
    pub cancel_reason: Option<String>,
    pub cancel_grace_ms: Option<i64>,
    pub cancel_confirmed: Option<bool>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub run_after: DateTime<Utc>,
    pub claimed_at: Option<DateTime<Utc>>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub heartbeat_at: Option<DateTime<Utc>>,
    pub traceparent: Option<String>,
}

/// A checked query of [`RunRow`]s with the columns of `r`: `run_rows!("FROM ops.runs r WHERE ..", arguments)`. Text that belongs before
/// the `SELECT` is given first: `run_rows!(with "WITH r AS (..)"; "FROM r", ..)`.
macro_rules! run_rows {
    ($from:literal $(, $argument:expr)* $(,)?) => {
        $crate::store::run::row::run_rows!(with ""; $from $(, $argument)*)
    };
    (with $with:literal; $from:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            $crate::store::run::row::RunRow,
            $with + r#" SELECT r.id, r.tenant_id, r.session_id, r.lane::text AS "lane!", r.priority, r.kind,
                r.params::text AS "params!", r.labels::text AS "labels!", r.status, r.wait_reason, r.attempt,
                r.max_attempts, r.timeout_ms, r.claimed_by, r.worker_id, r.fence, r.revision, r.progress_fraction,
                r.progress_message, r.result::text AS "result", r.error::text AS "error", r.cancel_requested_at,
                r.cancel_reason, r.cancel_grace_ms, r.cancel_confirmed, r.created_at, r.updated_at, r.run_after,
                r.claimed_at, r.started_at, r.finished_at, r.heartbeat_at, r.traceparent "# + $from
            $(, $argument)*
        )
    };
}
pub(crate) use run_rows;

/// The [`RunSpec`](crate::domain::RunSpec) of a row that has its columns. It returns from the calling function with an error if a
/// column can not be read.
macro_rules! run_spec {
    ($row:ident) => {
        $crate::domain::RunSpec {
            session_id: $row.session_id,
            lane: $crate::store::run::row::lane($row.id, &$row.lane)?,
            priority: $row.priority,
            kind: $row.kind,
            params: $row.params,
            labels: $crate::store::run::row::labels(&$row.labels)?,
            max_attempts: $row.max_attempts,
            timeout: $row.timeout_ms.map($crate::store::run::row::milliseconds),
            traceparent: $row.traceparent.as_deref().and_then($crate::domain::TraceParent::parse),
        }
    };
}
pub(crate) use run_spec;

impl TryFrom<RunRow> for Run {
    type Error = StoreError;

    fn try_from(row: RunRow) -> Result<Self, StoreError> {
        let id = row.id;
        let unknown = |column: &str, word: &str| unknown_word(id, column, word);
        Ok(Run {
            id,
            tenant_id: TenantId::new(&row.tenant_id),
            status: RunStatus::parse(&row.status).ok_or_else(|| unknown("status", &row.status))?,
            wait_reason: row
                .wait_reason
                .as_deref()
                .map(|word| WaitReason::parse(word).ok_or_else(|| unknown("wait_reason", word)))
                .transpose()?,
            run_after: row.run_after,
            attempt: row.attempt,
            fence: row.fence,
            grant: grant(&row),
            progress: progress(row.progress_fraction, row.progress_message),
            cancellation: row.cancel_requested_at.map(|requested_at| Cancellation {
                requested_at,
                reason: row.cancel_reason.unwrap_or_default(),
                grace: milliseconds(row.cancel_grace_ms.unwrap_or_default()),
                confirmed: row.cancel_confirmed,
            }),
            result: row.result,
            error: run_error(row.error.as_deref())?,
            revision: row.revision,
            created_at: row.created_at,
            updated_at: row.updated_at,
            finished_at: row.finished_at,
            spec: run_spec!(row),
        })
    }
}

/// The grant of a run, if it was ever claimed. A claim sets all of its columns together.
fn grant(row: &RunRow) -> Option<Grant> {
    Some(Grant {
        worker_id: row.worker_id?,
        worker_name: row.claimed_by.clone().unwrap_or_default(),
        claimed_at: row.claimed_at?,
        started_at: row.started_at,
        heartbeat_at: row.heartbeat_at?,
    })
}

fn unknown_word(run_id: Uuid, column: &str, word: &str) -> StoreError {
    StoreError::defect(format!("run {run_id} has an unknown {column}: {word:?}"))
}

/// A `lane` column.
pub fn lane(run_id: Uuid, word: &str) -> Result<Lane, StoreError> {
    Lane::parse(word).ok_or_else(|| unknown_word(run_id, "lane", word))
}

/// A column of milliseconds. A negative value, which no statement writes, becomes 0.
pub fn milliseconds(value: i64) -> Duration {
    Duration::from_millis(value.try_into().unwrap_or_default())
}

/// A `labels` column. Rows that SQL wrote may have values that are not strings; these become their JSON text.
pub fn labels(json: &str) -> Result<BTreeMap<String, String>, StoreError> {
    if json == "{}" {
        return Ok(BTreeMap::new());
    }
    let object: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(json).map_err(|error| StoreError::defect(format!("labels are not an object: {error}")))?;
    let text = |value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(object.into_iter().map(|(key, value)| (key, text(value))).collect())
}

fn progress(fraction: Option<f64>, message: Option<String>) -> Option<Progress> {
    if fraction.is_none() && message.is_none() {
        return None;
    }
    Some(Progress { fraction: fraction.unwrap_or_default(), message: message.unwrap_or_default() })
}

/// An `error` column.
pub fn run_error(json: Option<&str>) -> Result<Option<RunError>, StoreError> {
    let read = json.map(serde_json::from_str).transpose();
    read.map_err(|error| StoreError::defect(format!("a run's error can not be read: {error}")))
}
