//! What time alone brings.

use sqlx::PgConnection;

use crate::db::StoreError;

/// Offers runs whose time has come. Answers how many.
pub async fn run_due(c: &mut PgConnection) -> Result<u64, StoreError> {
    let due = sqlx::query!(
        "WITH due AS MATERIALIZED (
             SELECT id FROM ops.runs WHERE wait_reason IS NOT NULL AND run_after <= now()
             ORDER BY run_after LIMIT 1000 FOR NO KEY UPDATE SKIP LOCKED
         ),
         offered AS (
             UPDATE ops.runs r
             SET wait_reason = NULL, revision = r.revision + 1, updated_at = clock_timestamp()
             FROM due WHERE r.id = due.id AND r.status = 'queued' AND r.wait_reason IS NOT NULL
             RETURNING r.id, r.tenant_id, r.lane, r.kind, r.priority, r.run_after, r.fence
         ),
         queued AS (
             INSERT INTO ops.run_queue (tenant_id, lane, kind, priority, run_after, run_id, fence)
             SELECT tenant_id, lane, kind, priority, run_after, id, fence FROM offered
         ),
         fed AS (
             INSERT INTO ops.run_changes (tenant_id, run_ids) SELECT tenant_id, array_agg(id) FROM offered GROUP BY tenant_id
         )
         SELECT id FROM offered"
    )
    .fetch_all(c)
    .await?;
    Ok(due.len() as u64)
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
