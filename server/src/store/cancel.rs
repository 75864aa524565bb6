//! Cancels: asked for, told to workers, confirmed or not.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;
use super::run_row::milliseconds;
use crate::domain::worker::{CancelKind, CancelOrder};
use crate::domain::{Lease, TenantId};

/// Which runs to cancel.
#[derive(Debug, Clone, Copy)]
pub enum CancelTarget {
    Run(Uuid),
    Session(Uuid),
}

/// Cancels what has not begun, and asks what runs to stop. Answers how many workers have to be told.
pub async fn run_cancel_in_tx(
    c: &mut PgConnection,
    tenant: &TenantId,
    target: CancelTarget,
    reason: &str,
    grace: Duration,
) -> Result<i64, StoreError> {
    let (runs, session) = match target {
        CancelTarget::Run(id) => (vec![id], None),
        CancelTarget::Session(id) => (Vec::new(), Some(id)),
    };
    let told = sqlx::query_file_scalar!(
        "src/store/sql/run_cancel.sql",
        tenant.as_str(),
        &runs,
        session,
        reason,
        grace.as_millis() as i64,
    )
    .fetch_one(c)
    .await?;
    Ok(told)
}

/// What the given workers have to be told.
pub async fn cancel_pending(c: &mut PgConnection, workers: &[Uuid]) -> Result<Vec<CancelOrder>, StoreError> {
    let rows = sqlx::query!(
        "SELECT run_id, fence, worker_id, kind, grace_ms, reason FROM ops.run_cancels WHERE worker_id = ANY ($1)",
        workers
    )
    .fetch_all(c)
    .await?;
    let order = |kind: &str| if kind == "cancel" { CancelKind::Cancel } else { CancelKind::Revoke };
    Ok(rows
        .into_iter()
        .map(|row| CancelOrder {
            worker_id: row.worker_id,
            run_id: row.run_id,
            fence: row.fence,
            kind: order(&row.kind),
            grace: milliseconds(row.grace_ms),
            reason: row.reason,
        })
        .collect())
}

/// Forgets revokes that their workers were told of.
pub async fn cancel_told(c: &mut PgConnection, told: &[Lease]) -> Result<(), StoreError> {
    sqlx::query!(
        "DELETE FROM ops.run_cancels c USING unnest($1::uuid[], $2::bigint[]) AS t (run_id, fence)
         WHERE c.run_id = t.run_id AND c.fence = t.fence AND c.kind = 'revoke'",
        &told.iter().map(|lease| lease.run_id).collect::<Vec<_>>(),
        &told.iter().map(|lease| lease.fence).collect::<Vec<_>>(),
    )
    .execute(c)
    .await?;
    Ok(())
}

/// Forgets revokes that nobody was there to be told of.
pub async fn cancel_prune(c: &mut PgConnection) -> Result<u64, StoreError> {
    let pruned = sqlx::query!(
        "DELETE FROM ops.run_cancels WHERE kind = 'revoke' AND requested_at < now() - interval '1 minute'"
    )
    .execute(c)
    .await?;
    Ok(pruned.rows_affected())
}

/// Ends cancels that no worker confirmed in time.
pub async fn run_cancel_unconfirmed(c: &mut PgConnection) -> Result<usize, StoreError> {
    Ok(sqlx::query_file!("src/store/sql/run_cancel_unconfirmed.sql").fetch_all(c).await?.len())
}
