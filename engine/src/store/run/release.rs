//! Gives back grants that did not start.

use std::collections::HashSet;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::StoreError;
use crate::store::effects::Effects;
use crate::store::run::guard::{Guard, GuardColumns};

/// A grant to give back.
#[derive(Debug, Clone, Copy)]
pub struct Release {
    pub guard: Guard,
    /// Give it back even if it is recorded as started: its worker says that no start arrived.
    pub started_too: bool,
    /// Count it as undelivered. A run that is undelivered ten times in a row has to wait.
    pub undelivered: bool,
}

/// Those of these grants that were claimed for a stream that had been replaced before. No resume can name them. The server of the newer
/// stream writes `heartbeat_at` from its resume on.
pub async fn run_claimed_for_replaced(c: &mut PgConnection, guards: &[Guard]) -> Result<Vec<Uuid>, StoreError> {
    let columns = GuardColumns::of(guards);
    let claimed = sqlx::query_scalar!(
        r#"SELECT r.id AS "id!"
         FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::bigint[]) AS i (run_id, fence, worker_id, epoch)
         JOIN ops.runs r ON r.id = i.run_id
         JOIN ops.workers w ON w.id = i.worker_id AND w.stream_epoch <> i.epoch
         WHERE r.fence = i.fence AND r.worker_id = i.worker_id AND r.status = 'claimed' AND r.claimed_at > w.heartbeat_at"#,
        &columns.run_ids,
        &columns.fences,
        &columns.worker_ids,
        &columns.epochs,
    )
    .fetch_all(c)
    .await?;
    Ok(claimed)
}

/// Gives grants back. Returns the runs whose grants were still valid.
pub async fn run_release_in_tx(
    c: &mut PgConnection,
    releases: &[Release],
) -> Result<(HashSet<Uuid>, Effects), StoreError> {
    let guards: Vec<Guard> = releases.iter().map(|release| release.guard).collect();
    let columns = GuardColumns::of(&guards);
    let rows = sqlx::query_file_scalar!(
        "src/store/run/release.sql",
        &columns.run_ids,
        &columns.fences,
        &columns.worker_ids,
        &columns.epochs,
        &releases.iter().map(|release| release.started_too).collect::<Vec<_>>(),
        &releases.iter().map(|release| release.undelivered).collect::<Vec<_>>(),
    )
    .fetch_all(c)
    .await?;
    // Always: a release that is repeated because the answer to its commit was lost finds no grant, but others still need the wakeup.
    Ok((rows.into_iter().collect(), Effects::WORK | Effects::CHANGES))
}
