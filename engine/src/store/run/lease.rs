//! Leases: heartbeats extend them, time ends them.

use std::collections::HashSet;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::StoreError;
use crate::domain::GrantKey;
use crate::domain::run::Progress;
use crate::store::effects::Effects;
use crate::store::run::guard::{Guard, GuardColumns};

/// A heartbeat for one grant.
#[derive(Debug, Clone)]
pub struct LeaseBeat {
    pub guard: Guard,
    pub progress: Option<Progress>,
}

/// Extends leases by heartbeats. Returns the workers and grants that are still valid; all others are lost.
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

/// Extends the leases of runs that a foreign lock keeps from taking a heartbeat: their next check comes a lease later. Once the runs are
/// free, their heartbeats are written again and count.
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

/// Rows of `run_leases` that one statement checks.
const CHECK_PAGE: i64 = 200;

/// The result of one check of leases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expired {
    /// Queued again.
    pub requeued: usize,
    /// Failed with `HeartbeatTimeout`, or cancelled without confirmation.
    pub ended: usize,
    /// There are more leases to check.
    pub more: bool,
}

/// Ends leases that are over, and deletes rows of `run_leases` none of whose runs is held any more.
pub async fn run_expire(c: &mut PgConnection) -> Result<(Expired, Effects), StoreError> {
    let page = sqlx::query_file!("src/store/run/expire.sql", CHECK_PAGE).fetch_one(c).await?;
    let expired =
        Expired { requeued: page.requeued as usize, ended: page.ended as usize, more: page.checked == CHECK_PAGE };
    let changed = (Effects::CHANGES | Effects::ORDERS).when(expired.requeued + expired.ended > 0);
    Ok((expired, changed | Effects::WORK.when(expired.requeued > 0)))
}
