//! Orders to workers about their grants: to stop a run, or to drop a lost one. `ops.run_cancels` has a row for each.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::StoreError;
use crate::domain::GrantKey;
use crate::domain::worker::{Order, OrderKind};
use crate::store::run::row::milliseconds;

/// The orders that wait for these workers.
pub async fn order_pending(c: &mut PgConnection, workers: &[Uuid]) -> Result<Vec<Order>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT run_id, fence, worker_id, kind, grace_ms, reason,
                  (extract(epoch FROM clock_timestamp() - requested_at) * 1000)::bigint AS "asked_ago_ms!"
           FROM ops.run_cancels WHERE worker_id = ANY ($1)"#,
        workers
    )
    .fetch_all(c)
    .await?;
    let order = |kind: &str| if kind == "cancel" { OrderKind::Cancel } else { OrderKind::Revoke };
    Ok(rows
        .into_iter()
        .map(|row| Order {
            worker_id: row.worker_id,
            grant: GrantKey { run_id: row.run_id, fence: row.fence },
            kind: order(&row.kind),
            grace: milliseconds(row.grace_ms),
            reason: row.reason,
            asked_ago: milliseconds(row.asked_ago_ms),
        })
        .collect())
}

/// Forgets revokes that were sent to their workers. A revoke that another transaction locks is sent again.
pub async fn order_sent(c: &mut PgConnection, sent: &[GrantKey]) -> Result<(), StoreError> {
    sqlx::query!(
        "DELETE FROM ops.run_cancels
         WHERE ctid = ANY (ARRAY(
             SELECT c.ctid
             FROM unnest($1::uuid[], $2::bigint[]) AS t (run_id, fence)
             CROSS JOIN LATERAL (
                 SELECT ctid FROM ops.run_cancels
                 WHERE run_id = t.run_id AND fence = t.fence AND kind = 'revoke'
                 FOR UPDATE SKIP LOCKED) c))",
        &sent.iter().map(|grant| grant.run_id).collect::<Vec<_>>(),
        &sent.iter().map(|grant| grant.fence).collect::<Vec<_>>(),
    )
    .execute(c)
    .await?;
    Ok(())
}

/// Forgets revokes whose workers did not come back for a minute.
pub async fn order_prune(c: &mut PgConnection) -> Result<u64, StoreError> {
    let pruned = sqlx::query!(
        "DELETE FROM ops.run_cancels
         WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM ops.run_cancels WHERE kind = 'revoke' AND requested_at < now() - interval '1 minute'
             FOR UPDATE SKIP LOCKED))"
    )
    .execute(c)
    .await?;
    Ok(pruned.rows_affected())
}
