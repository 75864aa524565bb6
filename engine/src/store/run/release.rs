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
