//! Locks sessions, and finds the locks of other transactions.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::StoreError;
use crate::domain::TenantId;

/// Locks a session against every change and every enqueue. Returns whether it exists.
pub async fn session_lock_in_tx(c: &mut PgConnection, tenant: &TenantId, id: Uuid) -> Result<bool, StoreError> {
    let row =
        sqlx::query!("SELECT id FROM ops.sessions WHERE tenant_id = $1 AND id = $2 FOR UPDATE", tenant.as_str(), id);
    Ok(row.fetch_optional(c).await?.is_some())
}

/// Whether each of these sessions takes runs. It takes the lock that `run_enqueue` takes, so no session closes before the transaction
/// ends.
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

/// Those of these sessions that another transaction has locked against enqueues.
pub async fn session_key_locked(c: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
    let locked = sqlx::query_scalar!(
        r#"WITH free AS MATERIALIZED (SELECT id FROM ops.sessions WHERE id = ANY ($1) FOR KEY SHARE SKIP LOCKED)
           SELECT id AS "id!" FROM ops.sessions WHERE id = ANY ($1) EXCEPT SELECT id FROM free"#,
        ids
    )
    .fetch_all(c)
    .await?;
    Ok(locked)
}
