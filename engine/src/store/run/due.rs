//! Transitions that a clock triggers.

use sqlx::PgConnection;

use crate::db::StoreError;
use crate::store::effects::Effects;

/// Offers runs whose time has come. Answers how many.
pub async fn run_due(c: &mut PgConnection) -> Result<(i64, Effects), StoreError> {
    let offered = sqlx::query_file_scalar!("src/store/run/due.sql").fetch_one(c).await?;
    Ok((offered, (Effects::WORK | Effects::CHANGES).when(offered > 0)))
}

/// Forgets request ids of more than 24 hours ago. Answers how many.
pub async fn request_id_prune(c: &mut PgConnection) -> Result<u64, StoreError> {
    let pruned = sqlx::query!(
        "DELETE FROM ops.request_ids r USING (
             SELECT tenant_id, scope, request_id FROM ops.request_ids WHERE created_at < now() - interval '24 hours'
             LIMIT 10000 FOR UPDATE SKIP LOCKED) old
         WHERE r.tenant_id = old.tenant_id AND r.scope = old.scope AND r.request_id = old.request_id"
    )
    .execute(c)
    .await?;
    Ok(pruned.rows_affected())
}
