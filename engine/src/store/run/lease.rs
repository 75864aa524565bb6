//! Leases: kept alive by heartbeats, ended by time.

use std::collections::HashSet;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::StoreError;
use crate::domain::GrantKey;
use crate::domain::run::Progress;
use crate::store::effects::Effects;
use crate::store::run::guard::{Guard, GuardColumns};

/// A worker names a grant that it holds.
#[derive(Debug, Clone)]
pub struct LeaseBeat {
    pub guard: Guard,
    pub progress: Option<Progress>,
}

/// Keeps leases alive. What is not in the answer, by worker and grant, is lost.
pub async fn run_heartbeat(
    c: &mut PgConnection,
    beats: &[LeaseBeat],
) -> Result<(HashSet<(Uuid, GrantKey)>, Effects), StoreError> {
    let guards: Vec<Guard> = beats.iter().map(|beat| beat.guard).collect();
    let columns = GuardColumns::of(&guards);
    let fractions: Vec<Option<f64>> = beats.iter().map(|beat| beat.progress.as_ref().map(|p| p.fraction)).collect();
    let messages: Vec<Option<String>> =
        beats.iter().map(|beat| beat.progress.as_ref().map(|p| p.message.clone())).collect();
    let rows = sqlx::query_file!(
        "src/store/run/heartbeat.sql",
        &columns.run_ids,
        &columns.fences,
        &columns.worker_ids,
        &columns.epochs,
        &fractions as &[Option<f64>],
        &messages as &[Option<String>],
    )
    .fetch_all(c)
    .await?;
    let touched = rows.into_iter().map(|row| (row.worker_id, GrantKey { run_id: row.id, fence: row.fence })).collect();
    Ok((touched, Effects::CHANGES.when(beats.iter().any(|beat| beat.progress.is_some()))))
}

/// Keeps leases alive whose runs somebody has locked, so that no heartbeat can be written: they are not looked at before they would
/// end. What is written when the runs are free again counts from then on.
pub async fn run_lease_extend(c: &mut PgConnection, guards: &[Guard]) -> Result<(), StoreError> {
    let columns = GuardColumns::of(guards);
    sqlx::query!(
        "WITH held AS MATERIALIZED (
             SELECT r.worker_id, max(r.lease_ms) AS lease_ms, array_agg(r.id) AS run_ids
             FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::bigint[]) AS i (run_id, fence, worker_id, epoch)
             JOIN ops.runs r ON r.id = i.run_id
             JOIN ops.workers w ON w.id = i.worker_id AND w.stream_epoch = i.epoch
             WHERE r.fence = i.fence AND r.worker_id = i.worker_id AND r.status IN ('claimed', 'running')
             GROUP BY r.worker_id
         )
         UPDATE ops.run_leases l
         SET due_at = clock_timestamp() + h.lease_ms * interval '1 ms'
         FROM held h
         WHERE l.worker_id = h.worker_id AND l.run_ids && h.run_ids",
        &columns.run_ids,
        &columns.fences,
        &columns.worker_ids,
        &columns.epochs,
    )
    .execute(c)
    .await?;
    Ok(())
}

/// Claims whose runs are looked at in one statement.
const LOOK_PAGE: i64 = 200;

/// What a lease batch ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expired {
    /// Offered again.
    pub requeued: usize,
    /// Failed with `HeartbeatTimeout`, or cancelled without confirmation.
    pub ended: usize,
    /// There was more to look at than is looked at once.
    pub more: bool,
}

/// Ends the leases that no heartbeat kept alive, and forgets claims of which nothing is held any more.
pub async fn run_expire(c: &mut PgConnection) -> Result<(Expired, Effects), StoreError> {
    let page = sqlx::query_file!("src/store/run/expire.sql", LOOK_PAGE).fetch_one(c).await?;
    let expired =
        Expired { requeued: page.requeued as usize, ended: page.ended as usize, more: page.looked_at == LOOK_PAGE };
    let changed = (Effects::CHANGES | Effects::ORDERS).when(expired.requeued + expired.ended > 0);
    Ok((expired, changed | Effects::WORK.when(expired.requeued > 0)))
}
