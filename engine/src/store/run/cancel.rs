//! Requests cancels, and ends cancels that no worker confirms.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::StoreError;
use crate::domain::TenantId;
use crate::store::effects::Effects;
use crate::store::run::row::milliseconds;

/// Cancels runs that have not started, and orders the workers of the others to stop them.
pub async fn run_cancel_in_tx(
    c: &mut PgConnection,
    tenant: &TenantId,
    runs: &[Uuid],
    reason: &str,
    grace: Duration,
) -> Result<Effects, StoreError> {
    let ordered =
        sqlx::query_file_scalar!("src/store/run/cancel.sql", tenant.as_str(), runs, reason, grace.as_millis() as i64,)
            .fetch_one(&mut *c)
            .await?;
    // A second statement with a newer snapshot. It sees the queue row of a run that was queued while the first waited for its lock.
    sqlx::query!(
        "DELETE FROM ops.run_queue
         WHERE ctid = ANY (ARRAY(
             SELECT q.ctid
             FROM ops.runs r
             CROSS JOIN LATERAL (
                 SELECT ctid FROM ops.run_queue
                 WHERE tenant_id = r.tenant_id AND lane = r.lane AND kind = r.kind AND priority = r.priority
                   AND run_after = r.run_after AND run_id = r.id
                 LIMIT 1) q
             WHERE r.id = ANY ($2) AND r.tenant_id IS NOT DISTINCT FROM $1 AND r.status = 'cancelled'))",
        tenant.as_str(),
        runs,
    )
    .execute(c)
    .await?;
    Ok(Effects::CHANGES | Effects::ORDERS.when(ordered > 0))
}

/// The most runs of a cancelled session in one transaction, so that it holds no lock for long.
pub const CANCEL_PAGE: i64 = 2_000;

/// The next runs of a cancelled session that have to be cancelled. The session takes no more runs, so none is missed.
pub async fn session_cancel_page(c: &mut PgConnection, session_id: Uuid, after: Uuid) -> Result<Vec<Uuid>, StoreError> {
    let page = sqlx::query_scalar!(
        "SELECT id FROM ops.runs
         WHERE session_id = $1 AND id > $2 AND status IN ('queued', 'claimed', 'running') AND cancel_requested_at IS NULL
         ORDER BY session_id, id LIMIT $3",
        session_id,
        after,
        CANCEL_PAGE
    )
    .fetch_all(c)
    .await?;
    Ok(page)
}

/// Cancels these runs of a cancelled session, with the session's reason and grace.
pub async fn session_cancel_runs_in_tx(
    c: &mut PgConnection,
    session_id: Uuid,
    runs: &[Uuid],
) -> Result<Effects, StoreError> {
    let session = sqlx::query!(
        r#"SELECT tenant_id, coalesce(cancel_reason, '') AS "reason!", coalesce(cancel_grace_ms, 5000) AS "grace_ms!"
           FROM ops.sessions WHERE id = $1"#,
        session_id
    )
    .fetch_optional(&mut *c)
    .await?;
    let Some(session) = session else { return Ok(Effects::NONE) };
    let (tenant, grace) = (TenantId::new(&session.tenant_id), milliseconds(session.grace_ms));
    run_cancel_in_tx(c, &tenant, runs, &session.reason, grace).await
}

/// The first 10000 cancelled sessions that have runs that have not ended.
pub async fn session_cancel_open(c: &mut PgConnection) -> Result<Vec<Uuid>, StoreError> {
    let sessions = sqlx::query_scalar!(
        "SELECT id FROM ops.sessions AS session WHERE ops.session_is_cancelling(session) ORDER BY id LIMIT 10000"
    )
    .fetch_all(c)
    .await?;
    Ok(sessions)
}

/// Ends cancels that no worker confirmed in time. Returns how many.
pub async fn run_cancel_unconfirmed(c: &mut PgConnection) -> Result<(usize, Effects), StoreError> {
    let ended = sqlx::query_file!("src/store/run/cancel_unconfirmed.sql").fetch_all(c).await?.len();
    Ok((ended, (Effects::CHANGES | Effects::ORDERS).when(ended > 0)))
}
