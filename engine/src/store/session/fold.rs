//! Folds the counters of sessions, and completes sessions.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::StoreError;

/// The most sessions in one fold.
pub const FOLD_SESSIONS: i64 = 500;

/// The result of a fold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Folded {
    pub sessions: i64,
    pub completed: i64,
}

/// Adds the deltas to the sessions' counters, and completes closed sessions whose runs have all ended; only this statement completes a
/// session. A later fold takes the sessions that are locked now. Until then, readers add the deltas themselves.
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
    session_fold_locked_in_tx(c, &due).await
}

/// As `session_fold_in_tx`, of sessions that the caller has locked.
pub async fn session_fold_locked_in_tx(c: &mut PgConnection, sessions: &[Uuid]) -> Result<Folded, StoreError> {
    let row = sqlx::query_file!("src/store/session/fold.sql", sessions).fetch_one(c).await?;
    Ok(Folded { sessions: row.sessions, completed: row.completed })
}
