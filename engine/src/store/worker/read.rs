//! Reads and lists workers.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::StoreError;
use crate::domain::worker::{Worker, WorkerMode, WorkerState};
use crate::domain::{Lane, TenantId};
use crate::store::run::row::labels;

#[derive(Debug)]
struct WorkerRow {
    id: Uuid,
    name: String,
    mode: String,
    state: String,
    lanes: Vec<String>,
    kinds: Vec<String>,
    labels: String,
    version: String,
    held_runs: i64,
    created_at: DateTime<Utc>,
    heartbeat_at: DateTime<Utc>,
    pause_reason: Option<String>,
    paused_until: Option<DateTime<Utc>>,
}

/// A checked query of the workers `w` that match; `$1` is the tenant. A worker that was ordered to drain has the state `draining` while it
/// is active or disconnected.
macro_rules! worker_rows {
    ($matching:literal, $rest:literal, $($argument:expr),*) => {
        sqlx::query_as!(
            WorkerRow,
            r#"SELECT w.id, w.name, w.mode, w.state AS "state!", w.lanes::text[] AS "lanes!", w.kinds,
                w.labels::text AS "labels!", w.version, w.created_at, w.heartbeat_at,
                w.pause_reason, w.paused_until,
                (SELECT count(*) FROM ops.runs r
                 WHERE r.id = ANY (ARRAY(SELECT unnest(l.run_ids) FROM ops.run_leases l WHERE l.worker_id = w.id))
                   AND r.worker_id = w.id AND r.status IN ('claimed', 'running')
                   AND r.tenant_id IS NOT DISTINCT FROM $1) AS "held_runs!"
               FROM (SELECT tenant_id, id, name, mode, lanes, kinds, labels, version, created_at, heartbeat_at, pause_reason, paused_until,
                        CASE WHEN drain_requested_at IS NOT NULL AND state IN ('active', 'disconnected') THEN 'draining'
                             ELSE state END AS state
                     FROM ops.workers WHERE "# + $matching + ") w " + $rest,
            $($argument),*
        )
    };
}

impl TryFrom<WorkerRow> for Worker {
    type Error = StoreError;

    fn try_from(row: WorkerRow) -> Result<Self, StoreError> {
        let id = row.id;
        let unknown =
            |column: &str, word: &str| StoreError::defect(format!("worker {id} has an unknown {column}: {word:?}"));
        let lane = |word: &String| Lane::parse(word).ok_or_else(|| unknown("lane", word));
        Ok(Worker {
            id,
            name: row.name,
            mode: WorkerMode::parse(&row.mode).ok_or_else(|| unknown("mode", &row.mode))?,
            state: WorkerState::parse(&row.state).ok_or_else(|| unknown("state", &row.state))?,
            lanes: row.lanes.iter().map(lane).collect::<Result<_, _>>()?,
            kinds: row.kinds,
            labels: labels(&row.labels)?,
            version: row.version,
            held_runs: i32::try_from(row.held_runs).unwrap_or(i32::MAX),
            created_at: row.created_at,
            heartbeat_at: row.heartbeat_at,
            pause: row.pause_reason.zip(row.paused_until),
        })
    }
}

/// One worker.
pub async fn worker_get(c: &mut PgConnection, tenant: &TenantId, id: Uuid) -> Result<Option<Worker>, StoreError> {
    worker_rows!("tenant_id = $1 AND id = $2", "", tenant.as_str(), id)
        .fetch_optional(c)
        .await?
        .map(Worker::try_from)
        .transpose()
}

/// The newest workers of some states (none = all but gone), older than `before`.
pub async fn worker_list(
    c: &mut PgConnection,
    tenant: &TenantId,
    states: &[WorkerState],
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Worker>, StoreError> {
    let states: Vec<String> = WorkerState::ALL
        .iter()
        .filter(|state| if states.is_empty() { **state != WorkerState::Gone } else { states.contains(state) })
        .map(|state| state.as_str().to_owned())
        .collect();
    worker_rows!(
        "(tenant_id, id) < ($1, $2) AND tenant_id >= $1",
        "WHERE w.state = ANY ($3) ORDER BY w.tenant_id DESC, w.id DESC LIMIT $4",
        tenant.as_str(),
        before.unwrap_or(Uuid::max()),
        &states,
        limit
    )
    .fetch_all(c)
    .await?
    .into_iter()
    .map(Worker::try_from)
    .collect()
}
