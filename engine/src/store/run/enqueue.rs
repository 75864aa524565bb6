//! Inserts new runs.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::StoreError;
use crate::domain::{RunRequest, TenantId};
use crate::store::effects::Effects;

/// The effects of every enqueue.
pub const ENQUEUED: Effects = Effects { work: true, changes: true, ..Effects::NONE };

/// A new run. It has its id before it is written, so that a retry writes the same run.
#[derive(Debug, Clone)]
pub struct NewRun {
    pub id: Uuid,
    pub tenant: TenantId,
    pub request: RunRequest,
    /// The hash of the request's identity, if it has a request id.
    pub request_hash: Option<Vec<u8>>,
}

/// Inserts runs, with queue, counters and feed. Returns when they were created. If one of their sessions does not exist, takes no runs
/// or is locked by another transaction, it inserts nothing and returns `None`.
pub async fn run_enqueue(
    c: &mut PgConnection,
    runs: &[&NewRun],
) -> Result<Option<(DateTime<Utc>, Effects)>, StoreError> {
    let sessions: BTreeSet<(Uuid, &str)> =
        runs.iter().map(|run| (run.request.spec.session_id, run.tenant.as_str())).collect();
    let labels: Vec<String> = runs
        .iter()
        .map(|run| {
            serde_json::to_string(&run.request.spec.labels).map_err(|error| StoreError::defect(error.to_string()))
        })
        .collect::<Result<_, _>>()?;
    let created_at = sqlx::query_file_scalar!(
        "src/store/run/enqueue.sql",
        &runs.iter().map(|run| run.id).collect::<Vec<_>>(),
        &runs.iter().map(|run| run.tenant.as_str()).collect::<Vec<_>>() as &[&str],
        &runs.iter().map(|run| run.request.spec.session_id).collect::<Vec<_>>(),
        &runs.iter().map(|run| run.request.spec.lane.as_str()).collect::<Vec<_>>() as &[&str],
        &runs.iter().map(|run| run.request.spec.priority).collect::<Vec<_>>(),
        &runs.iter().map(|run| run.request.spec.kind.as_str()).collect::<Vec<_>>() as &[&str],
        &runs.iter().map(|run| run.request.spec.params.as_str()).collect::<Vec<_>>() as &[&str],
        &labels,
        &runs.iter().map(|run| run.request.spec.max_attempts).collect::<Vec<_>>(),
        &runs.iter().map(|run| run.request.spec.timeout.map(|t| t.as_millis() as i64)).collect::<Vec<_>>()
            as &[Option<i64>],
        &runs.iter().map(|run| run.request.run_after).collect::<Vec<_>>() as &[Option<DateTime<Utc>>],
        &runs.iter().map(|run| run.request.spec.traceparent.map(|t| t.to_string())).collect::<Vec<_>>()
            as &[Option<String>],
        &sessions.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        &sessions.iter().map(|(_, tenant)| *tenant).collect::<Vec<_>>() as &[&str],
    )
    .fetch_optional(c)
    .await?;
    Ok(created_at.map(|created_at| (created_at, ENQUEUED)))
}

/// Those of these runs that exist, with the time of their creation.
pub async fn run_created(c: &mut PgConnection, ids: &[Uuid]) -> Result<BTreeMap<Uuid, DateTime<Utc>>, StoreError> {
    let rows = sqlx::query!("SELECT id, created_at FROM ops.runs WHERE id = ANY ($1)", ids).fetch_all(c).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.created_at)).collect())
}
