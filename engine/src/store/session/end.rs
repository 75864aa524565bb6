//! The counters of sessions, and their ends.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::StoreError;

/// Closes a locked session: it takes no more runs. One that is closed already stays as it is.
pub async fn session_close_in_tx(c: &mut PgConnection, id: Uuid) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE ops.sessions SET closed_at = now(), updated_at = now()
         WHERE id = $1 AND status = 'active' AND closed_at IS NULL",
        id
    )
    .execute(c)
    .await?;
    Ok(())
}

/// Cancels a locked session, and keeps how its runs shall be cancelled. One that has ended stays as it is.
pub async fn session_cancel_in_tx(
    c: &mut PgConnection,
    id: Uuid,
    reason: &str,
    grace: Duration,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE ops.sessions
         SET closed_at = coalesce(closed_at, now()), updated_at = now(), status = 'cancelled', cancel_reason = $2,
             cancel_grace_ms = $3
         WHERE id = $1 AND status = 'active'",
        id,
        reason,
        grace.as_millis() as i64
    )
    .execute(c)
    .await?;
    Ok(())
}

/// Sessions in one fold, at the most.
pub const FOLD_SESSIONS: i64 = 500;

/// What a fold did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Folded {
    pub sessions: i64,
    pub completed: i64,
}

/// Folds what batches have appended into the sessions' counters, and completes the closed sessions whose runs have all
/// ended; nothing else completes a session. A session that is locked now is folded another time: who reads it adds what is
/// not folded.
pub async fn session_fold_in_tx(c: &mut PgConnection) -> Result<Folded, StoreError> {
    let due = sqlx::query_scalar!(
        "WITH due AS MATERIALIZED (
             SELECT session_id AS id FROM (SELECT session_id FROM ops.session_deltas ORDER BY id LIMIT 5000) d
             UNION
             SELECT id FROM ops.sessions AS session WHERE ops.session_is_done(session)
         )
         SELECT s.id FROM due JOIN ops.sessions s ON s.id = due.id
         ORDER BY s.id LIMIT $1 FOR NO KEY UPDATE OF s SKIP LOCKED",
        FOLD_SESSIONS
    )
    .fetch_all(&mut *c)
    .await?;
    if due.is_empty() {
        return Ok(Folded::default());
    }
    let row = sqlx::query_file!("src/store/session/fold.sql", &due).fetch_one(c).await?;
    Ok(Folded { sessions: row.sessions, completed: row.completed })
}
