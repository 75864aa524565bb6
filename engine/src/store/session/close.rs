//! Closes and cancels sessions.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::StoreError;
use crate::store::session::fold::session_fold_locked_in_tx;

/// Closes a locked session, so that it takes no more runs. A closed session stays as it is.
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

/// Cancels a locked session, with the reason and the grace for its runs. A session that has ended stays as it is: if all its runs have
/// ended, it is completed first, as the fold would do within a second.
pub async fn session_cancel_in_tx(
    c: &mut PgConnection,
    id: Uuid,
    reason: &str,
    grace: Duration,
) -> Result<(), StoreError> {
    let closed = sqlx::query_scalar!(
        "SELECT id FROM ops.sessions WHERE id = $1 AND status = 'active' AND closed_at IS NOT NULL",
        id
    );
    if closed.fetch_optional(&mut *c).await?.is_some() {
        session_fold_locked_in_tx(c, &[id]).await?;
    }
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
