//! The counters of sessions, and their ends.

use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;
use crate::domain::TenantId;

/// Locks a session against every change of it and every enqueue into it. Answers whether it exists.
pub async fn session_lock_in_tx(c: &mut PgConnection, tenant: &TenantId, id: Uuid) -> Result<bool, StoreError> {
    let row =
        sqlx::query!("SELECT id FROM ops.sessions WHERE tenant_id = $1 AND id = $2 FOR UPDATE", tenant.as_str(), id);
    Ok(row.fetch_optional(c).await?.is_some())
}

/// Closes a locked session: it takes no more runs. One that is closed already stays as it is.
pub async fn session_close_in_tx(c: &mut PgConnection, id: Uuid, cancel: bool) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE ops.sessions
         SET closed_at = coalesce(closed_at, now()), updated_at = now(), status = CASE WHEN $2 THEN 'cancelled' ELSE status END
         WHERE id = $1 AND status = 'active' AND (closed_at IS NULL OR $2)",
        id,
        cancel
    )
    .execute(c)
    .await?;
    Ok(())
}

/// What a fold did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Folded {
    pub sessions: i64,
    pub completed: i64,
}

/// Folds what rounds have appended into the sessions' counters, and completes the closed sessions whose runs have all
/// ended; nothing else completes a session. A session that is locked now is folded another time: who reads it adds what is
/// not folded.
pub async fn session_fold_in_tx(c: &mut PgConnection) -> Result<Folded, StoreError> {
    let due = sqlx::query_scalar!(
        "WITH due AS MATERIALIZED (
             SELECT session_id AS id FROM (SELECT session_id FROM ops.session_deltas ORDER BY id LIMIT 5000) d
             UNION
             SELECT id FROM ops.sessions
             WHERE status = 'active' AND closed_at IS NOT NULL
               AND total_runs = succeeded_runs + failed_runs + cancelled_runs
         )
         SELECT s.id FROM due JOIN ops.sessions s ON s.id = due.id
         ORDER BY s.id LIMIT 500 FOR NO KEY UPDATE OF s SKIP LOCKED"
    )
    .fetch_all(&mut *c)
    .await?;
    if due.is_empty() {
        return Ok(Folded::default());
    }
    let row = sqlx::query_file!("src/store/sql/session_fold.sql", &due).fetch_one(c).await?;
    Ok(Folded { sessions: row.sessions, completed: row.completed })
}
