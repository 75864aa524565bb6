//! Records workers and their streams.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::StoreError;
use crate::domain::worker::{WorkerMode, WorkerPause, WorkerProfile, WorkerState};
use crate::domain::{GrantKey, TenantId};
use crate::store::effects::Effects;

/// The opening of a worker's stream.
#[derive(Debug, Clone)]
pub struct StreamOpening {
    pub worker_id: Uuid,
    pub tenant: TenantId,
    pub profile: WorkerProfile,
    pub secret_hash: Vec<u8>,
    pub server_id: Uuid,
    pub lease: Duration,
}

/// Inserts a new worker. Returns the epoch of its first stream.
pub async fn worker_insert(c: &mut PgConnection, opening: &StreamOpening) -> Result<i64, StoreError> {
    let profile = &opening.profile;
    let labels = serde_json::to_value(&profile.labels).map_err(|error| StoreError::defect(error.to_string()))?;
    let epoch = sqlx::query_scalar!(
        "INSERT INTO ops.workers (id, tenant_id, name, mode, lanes, kinds, labels, version, secret_hash, stream_epoch,
                                  server_id, lease_ms)
         VALUES ($1, $2, $3, $4, $5::text[]::ops.lane_type[], $6, $7::text::jsonb, $8, $9, 1, $10, $11)
         RETURNING stream_epoch",
        opening.worker_id,
        opening.tenant.as_str(),
        profile.name,
        WorkerMode::Stream.as_str(),
        &lane_words(profile),
        &kind_words(profile),
        labels.to_string(),
        profile.version,
        opening.secret_hash,
        opening.server_id,
        opening.lease.as_millis() as i64,
    )
    .fetch_one(c)
    .await?;
    Ok(epoch)
}

/// The values that a resume is checked against.
#[derive(Debug)]
pub struct LockedWorker {
    pub secret_hash: Vec<u8>,
    /// The highest number of a resume so far.
    pub resume_sequence: i64,
}

/// Locks a worker that resumes. Returns `None` if there is no such worker.
pub async fn worker_lock_in_tx(
    c: &mut PgConnection,
    tenant: &TenantId,
    id: Uuid,
) -> Result<Option<LockedWorker>, StoreError> {
    let worker = sqlx::query_as!(
        LockedWorker,
        r#"SELECT secret_hash AS "secret_hash!", resume_sequence FROM ops.workers
           WHERE tenant_id = $1 AND id = $2 AND mode = 'stream' FOR NO KEY UPDATE"#,
        tenant.as_str(),
        id
    )
    .fetch_optional(c)
    .await?;
    Ok(worker)
}

/// Raises the epoch of a worker that resumes, so that its older streams can write nothing. Returns the new epoch.
pub async fn worker_resume_in_tx(
    c: &mut PgConnection,
    opening: &StreamOpening,
    sequence: i64,
) -> Result<i64, StoreError> {
    let profile = &opening.profile;
    let labels = serde_json::to_value(&profile.labels).map_err(|error| StoreError::defect(error.to_string()))?;
    let epoch = sqlx::query_scalar!(
        "UPDATE ops.workers
         SET stream_epoch = stream_epoch + 1, server_id = $2, state = 'active', heartbeat_at = clock_timestamp(),
             name = $3, lanes = $4::text[]::ops.lane_type[], kinds = $5, labels = $6::text::jsonb, version = $7,
             resume_sequence = greatest(resume_sequence, $8), pause_reason = NULL, paused_until = NULL
         WHERE id = $1
         RETURNING stream_epoch",
        opening.worker_id,
        opening.server_id,
        profile.name,
        &lane_words(profile),
        &kind_words(profile),
        labels.to_string(),
        profile.version,
        sequence,
    )
    .fetch_one(c)
    .await?;
    Ok(epoch)
}

/// A grant that a worker holds.
#[derive(Debug, Clone, Copy)]
pub struct HeldGrant {
    pub grant: GrantKey,
    pub started: bool,
    pub attempt: i32,
    /// How long ago it started.
    pub started_ago: Duration,
}

/// The runs that a worker holds.
pub async fn worker_runs(c: &mut PgConnection, worker_id: Uuid) -> Result<Vec<Uuid>, StoreError> {
    let runs = sqlx::query_scalar!(
        "SELECT id FROM ops.runs
         WHERE id = ANY (ARRAY(SELECT unnest(run_ids) FROM ops.run_leases WHERE worker_id = $1))
           AND worker_id = $1 AND status IN ('claimed', 'running')",
        worker_id
    )
    .fetch_all(c)
    .await?;
    Ok(runs)
}

/// The grants that a worker holds, after the caller locked their runs.
pub async fn worker_held_in_tx(c: &mut PgConnection, worker_id: Uuid) -> Result<Vec<HeldGrant>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT id, fence, attempt, status = 'running' AS "started!",
                  coalesce(extract(epoch FROM clock_timestamp() - started_at), 0)::double precision AS "started_ago!"
           FROM ops.runs
           WHERE id = ANY (ARRAY(SELECT unnest(run_ids) FROM ops.run_leases WHERE worker_id = $1))
             AND worker_id = $1 AND status IN ('claimed', 'running')
           ORDER BY id"#,
        worker_id
    )
    .fetch_all(c)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| HeldGrant {
            grant: GrantKey { run_id: row.id, fence: row.fence },
            started: row.started,
            attempt: row.attempt,
            started_ago: Duration::from_secs_f64(row.started_ago.max(0.0)),
        })
        .collect())
}

/// Finds or inserts the worker that claims by unary calls under this name. Returns its id and whether it is draining.
pub async fn worker_upsert_unary(
    c: &mut PgConnection,
    tenant: &TenantId,
    profile: &WorkerProfile,
    lease: Duration,
) -> Result<(Uuid, bool), StoreError> {
    let row = sqlx::query!(
        r#"INSERT INTO ops.workers AS w (id, tenant_id, name, mode, lanes, kinds, lease_ms)
           VALUES ($1, $2, $3, $4, $5::text[]::ops.lane_type[], $6, $7)
           ON CONFLICT (tenant_id, name) WHERE mode = 'unary'
           DO UPDATE SET lanes = excluded.lanes, kinds = excluded.kinds, lease_ms = excluded.lease_ms, state = 'active',
                         heartbeat_at = clock_timestamp()
           RETURNING w.id, w.drain_requested_at IS NOT NULL AS "draining!""#,
        Uuid::now_v7(),
        tenant.as_str(),
        profile.name,
        WorkerMode::Unary.as_str(),
        &lane_words(profile),
        &kind_words(profile),
        lease.as_millis() as i64,
    )
    .fetch_one(c)
    .await?;
    Ok((row.id, row.draining))
}

/// Records a heartbeat of workers on their current streams, except for workers that another transaction has locked. A newer stream
/// has replaced each stream whose worker is not returned.
pub async fn worker_heard(c: &mut PgConnection, streams: &[(Uuid, i64)]) -> Result<Vec<Uuid>, StoreError> {
    let current = sqlx::query_scalar!(
        r#"WITH current AS MATERIALIZED (
               SELECT w.id
               FROM unnest($1::uuid[], $2::bigint[]) AS s (id, epoch)
               JOIN ops.workers w ON w.id = s.id AND w.stream_epoch = s.epoch
           ),
           free AS MATERIALIZED (
               SELECT id, stream_epoch FROM ops.workers WHERE id = ANY (ARRAY(SELECT id FROM current))
               FOR NO KEY UPDATE SKIP LOCKED
           ),
           updated AS (
               UPDATE ops.workers w SET heartbeat_at = clock_timestamp(), state = 'active'
               FROM free WHERE w.id = free.id AND w.stream_epoch = free.stream_epoch
           )
           SELECT id AS "id!" FROM current"#,
        &streams.iter().map(|stream| stream.0).collect::<Vec<_>>(),
        &streams.iter().map(|stream| stream.1).collect::<Vec<_>>(),
    )
    .fetch_all(c)
    .await?;
    Ok(current)
}

/// Records why a worker takes no runs for now, or that it takes runs again. Returns false if another transaction has locked the worker.
pub async fn worker_paused(
    c: &mut PgConnection,
    id: Uuid,
    epoch: i64,
    pause: Option<&WorkerPause>,
) -> Result<bool, StoreError> {
    let is_locked = sqlx::query_scalar!(
        r#"WITH current AS MATERIALIZED (
               SELECT id FROM ops.workers WHERE id = $1 AND stream_epoch = $2
           ),
           free AS MATERIALIZED (
               SELECT id, stream_epoch FROM ops.workers WHERE id = ANY (ARRAY(SELECT id FROM current))
               FOR NO KEY UPDATE SKIP LOCKED
           ),
           updated AS (
               UPDATE ops.workers w
               SET pause_reason = $3, paused_until = clock_timestamp() + $4::bigint * interval '1 ms'
               FROM free WHERE w.id = free.id AND w.stream_epoch = free.stream_epoch
           )
           SELECT EXISTS (SELECT FROM current) AND NOT EXISTS (SELECT FROM free) AS "is_locked!""#,
        id,
        epoch,
        pause.map(|pause| pause.reason.as_str()),
        pause.map(|pause| pause.remaining.as_millis() as i64),
    )
    .fetch_one(c)
    .await?;
    Ok(!is_locked)
}

/// Those of these streams, each a worker and an epoch, that newer streams have replaced.
pub async fn worker_replaced(c: &mut PgConnection, streams: &[(Uuid, i64)]) -> Result<Vec<(Uuid, i64)>, StoreError> {
    let (workers, epochs): (Vec<Uuid>, Vec<i64>) = streams.iter().copied().unzip();
    let replaced = sqlx::query!(
        r#"SELECT s.id AS "id!", s.epoch AS "epoch!"
           FROM unnest($1::uuid[], $2::bigint[]) AS s (id, epoch)
           WHERE NOT EXISTS (SELECT FROM ops.workers w WHERE w.id = s.id AND w.stream_epoch = s.epoch)"#,
        &workers,
        &epochs,
    )
    .fetch_all(c)
    .await?;
    Ok(replaced.into_iter().map(|row| (row.id, row.epoch)).collect())
}

/// Records that a worker's stream has ended, unless the worker has a newer one.
pub async fn worker_stream_ended(
    c: &mut PgConnection,
    id: Uuid,
    epoch: i64,
    state: WorkerState,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE ops.workers SET state = $3 WHERE id = $1 AND stream_epoch = $2 AND state = 'active'",
        id,
        epoch,
        state.as_str()
    )
    .execute(c)
    .await?;
    Ok(())
}

/// Orders a worker to drain. Returns whether the worker exists.
pub async fn worker_drain(c: &mut PgConnection, tenant: &TenantId, id: Uuid) -> Result<(bool, Effects), StoreError> {
    let done = sqlx::query!(
        "UPDATE ops.workers SET drain_requested_at = coalesce(drain_requested_at, now()) WHERE tenant_id = $1 AND id = $2",
        tenant.as_str(),
        id
    )
    .execute(c)
    .await?;
    let exists = done.rows_affected() == 1;
    Ok((exists, Effects::ORDERS.when(exists)))
}

/// Lets a worker take runs again. Returns whether the worker exists.
pub async fn worker_undrain(c: &mut PgConnection, tenant: &TenantId, id: Uuid) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "UPDATE ops.workers SET drain_requested_at = NULL WHERE tenant_id = $1 AND id = $2",
        tenant.as_str(),
        id
    )
    .execute(c)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Those of these workers that were ordered to drain.
pub async fn worker_draining(c: &mut PgConnection, workers: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
    Ok(sqlx::query_scalar!(
        "SELECT id FROM ops.workers WHERE id = ANY ($1) AND drain_requested_at IS NOT NULL",
        workers
    )
    .fetch_all(c)
    .await?)
}

/// Marks workers without a heartbeat for longer than their lease as lost. Returns how many.
pub async fn worker_mark_lost(c: &mut PgConnection) -> Result<u64, StoreError> {
    let lost = sqlx::query!(
        "UPDATE ops.workers w SET state = 'lost'
         WHERE w.id IN (
             SELECT w.id FROM ops.workers w CROSS JOIN ops.lease_service s
             WHERE w.state IN ('active', 'disconnected')
               AND ops.lease_service_is_current(s.checked_at)
               AND ops.lease_ends_at(w.heartbeat_at, s.resumed_at, w.lease_ms) < clock_timestamp()
             ORDER BY w.id FOR NO KEY UPDATE OF w SKIP LOCKED)"
    )
    .execute(c)
    .await?;
    Ok(lost.rows_affected())
}

fn lane_words(profile: &WorkerProfile) -> Vec<String> {
    profile.lanes.iter().map(|lane| lane.as_str().to_owned()).collect()
}

fn kind_words(profile: &WorkerProfile) -> Vec<String> {
    profile.kinds.iter().cloned().collect()
}
