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

/// Whether a session takes runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    Open,
    Closed,
    /// Another transaction has locked it, perhaps to close it.
    Locked,
}

/// Whether each of these sessions takes runs. It takes the lock that `run_enqueue` takes, so no open session closes before the
/// transaction ends. It waits for the locks of others if `waits`.
pub async fn session_open_in_tx(
    c: &mut PgConnection,
    sessions: &[Uuid],
    waits: bool,
) -> Result<BTreeMap<(String, Uuid), Door>, StoreError> {
    struct Row {
        id: Uuid,
        tenant_id: String,
        open: bool,
    }
    let locked = match waits {
        true => {
            sqlx::query_as!(
                Row,
                r#"SELECT id, tenant_id, closed_at IS NULL AS "open!" FROM ops.sessions
                   WHERE id = ANY ($1) ORDER BY id FOR KEY SHARE"#,
                sessions
            )
            .fetch_all(&mut *c)
            .await?
        }
        false => {
            sqlx::query_as!(
                Row,
                r#"SELECT id, tenant_id, closed_at IS NULL AS "open!" FROM ops.sessions
                   WHERE id = ANY ($1) ORDER BY id FOR KEY SHARE SKIP LOCKED"#,
                sessions
            )
            .fetch_all(&mut *c)
            .await?
        }
    };
    let door = |row: Row, open| ((row.tenant_id, row.id), if row.open { open } else { Door::Closed });
    let mut doors: BTreeMap<(String, Uuid), Door> = locked.into_iter().map(|row| door(row, Door::Open)).collect();
    if !waits && doors.len() < sessions.len() {
        // A closed session never opens again, so its lock does not matter.
        let all = sqlx::query_as!(
            Row,
            r#"SELECT id, tenant_id, closed_at IS NULL AS "open!" FROM ops.sessions WHERE id = ANY ($1)"#,
            sessions
        );
        for (session, locked) in all.fetch_all(c).await?.into_iter().map(|row| door(row, Door::Locked)) {
            doors.entry(session).or_insert(locked);
        }
    }
    Ok(doors)
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
