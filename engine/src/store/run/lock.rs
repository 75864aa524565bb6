//! Locks runs, and finds the locks of other transactions.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::StoreError;

/// Locks runs in the order of their ids, for a transaction that writes to them in several statements.
pub async fn run_lock_in_tx(c: &mut PgConnection, ids: &[Uuid]) -> Result<(), StoreError> {
    sqlx::query!("SELECT id FROM ops.runs WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE", ids).fetch_all(c).await?;
    Ok(())
}

/// Those of these runs that another transaction has locked.
pub async fn run_locked(c: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
    let locked = sqlx::query_scalar!(
        r#"WITH free AS MATERIALIZED (SELECT id FROM ops.runs WHERE id = ANY ($1) FOR NO KEY UPDATE SKIP LOCKED)
           SELECT id AS "id!" FROM ops.runs WHERE id = ANY ($1) EXCEPT SELECT id FROM free"#,
        ids
    )
    .fetch_all(c)
    .await?;
    Ok(locked)
}

/// Those of these runs that another transaction has locked against foreign keys, which a new event needs.
pub async fn run_key_locked(c: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
    let locked = sqlx::query_scalar!(
        r#"WITH free AS MATERIALIZED (SELECT id FROM ops.runs WHERE id = ANY ($1) FOR KEY SHARE SKIP LOCKED)
           SELECT id AS "id!" FROM ops.runs WHERE id = ANY ($1) EXCEPT SELECT id FROM free"#,
        ids
    )
    .fetch_all(c)
    .await?;
    Ok(locked)
}
