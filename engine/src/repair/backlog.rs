//! Looks every few seconds at what waits in the database, and at what others have open there, for the metrics: a scrape never
//! asks the database.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::Engine;
use crate::db::{Class, StoreError};
use crate::store::run::backlog::{backlog, foreign_oldest};

const PERIOD: Duration = Duration::from_secs(5);

pub async fn run(engine: Arc<Engine>, closing: CancellationToken) {
    loop {
        if let Err(error) = once(&engine).await {
            tracing::debug!(%error, "the backlog was not looked at; its metrics grow old");
        }
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = closing.cancelled() => return,
        }
    }
}

async fn once(engine: &Engine) -> Result<(), StoreError> {
    let db = engine.db(Class::Engine);
    let rows = db.read((), |c, ()| backlog(c).boxed()).await?;
    let foreign = db.read((), |c, ()| foreign_oldest(c).boxed()).await?;
    let counts: HashMap<_, _> =
        rows.iter().map(|row| ((row.state.as_str(), row.lane.as_str()), (row.runs, row.age_seconds))).collect();
    engine.metrics.sampled(|state, lane| counts.get(&(state, lane)).copied().unwrap_or_default());
    engine.metrics.foreign_transaction_seconds.set(foreign.transaction_seconds);
    engine.metrics.foreign_snapshot_transactions.set(foreign.snapshot_transactions.into());
    Ok(())
}
