//! Folding: the counters of sessions, and their completion.

use sqlx::PgConnection;

use crate::db::StoreError;

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
