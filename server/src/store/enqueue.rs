//! New runs.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;
use crate::domain::{RunSpec, TenantId};

/// A new run with the id that it was given before it was written.
#[derive(Debug, Clone)]
pub struct NewRun {
    pub id: Uuid,
    pub tenant: TenantId,
    pub spec: RunSpec,
}

/// Whether a session takes runs; held against its closing until the transaction ends.
///
/// The key lock conflicts with the lock under which a session is closed (`session_lock_in_tx`), but not with a fold of its
/// counters, so that enqueuing waits for nobody.
pub async fn session_open_in_tx(
    c: &mut PgConnection,
    sessions: &[Uuid],
) -> Result<BTreeMap<(String, Uuid), bool>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT id, tenant_id, closed_at IS NULL AS "open!" FROM ops.sessions
           WHERE id = ANY ($1) ORDER BY id FOR KEY SHARE"#,
        sessions
    )
    .fetch_all(c)
    .await?;
    Ok(rows.into_iter().map(|row| ((row.tenant_id, row.id), row.open)).collect())
}

/// Inserts runs of sessions that are open, with counters and feed. Answers when they were created.
pub async fn run_enqueue_in_tx(c: &mut PgConnection, runs: &[&NewRun]) -> Result<DateTime<Utc>, StoreError> {
    let labels: Vec<String> = runs
        .iter()
        .map(|run| serde_json::to_string(&run.spec.labels).map_err(|error| StoreError::defect(error.to_string())))
        .collect::<Result<_, _>>()?;
    let column = |of: fn(&NewRun) -> String| runs.iter().map(|run| of(run)).collect::<Vec<String>>();
    let created_at = sqlx::query_file_scalar!(
        "src/store/sql/run_enqueue.sql",
        &runs.iter().map(|run| run.id).collect::<Vec<_>>(),
        &column(|run| run.tenant.as_str().to_owned()),
        &runs.iter().map(|run| run.spec.session_id).collect::<Vec<_>>(),
        &column(|run| run.spec.lane.as_str().to_owned()),
        &runs.iter().map(|run| run.spec.priority).collect::<Vec<_>>(),
        &column(|run| run.spec.kind.clone()),
        &column(|run| run.spec.params.clone()),
        &labels,
        &runs.iter().map(|run| run.spec.max_attempts).collect::<Vec<_>>(),
        &runs.iter().map(|run| run.spec.timeout.map(|t| t.as_millis() as i64)).collect::<Vec<_>>() as &[Option<i64>],
        &runs.iter().map(|run| run.spec.run_after).collect::<Vec<_>>() as &[Option<DateTime<Utc>>],
        &runs.iter().map(|run| run.spec.traceparent.map(|t| t.to_string())).collect::<Vec<_>>() as &[Option<String>],
    )
    .fetch_one(c)
    .await?;
    Ok(created_at)
}

/// Which of these runs exist, and since when.
pub async fn run_created(c: &mut PgConnection, ids: &[Uuid]) -> Result<BTreeMap<Uuid, DateTime<Utc>>, StoreError> {
    let rows = sqlx::query!("SELECT id, created_at FROM ops.runs WHERE id = ANY ($1)", ids).fetch_all(c).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.created_at)).collect())
}
