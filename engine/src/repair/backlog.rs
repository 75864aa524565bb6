//! Counts the runs that have not ended, and measures the oldest transactions of others, every 5 seconds. The metrics show the results, so
//! that a scrape never asks the database.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;

use crate::Engine;
use crate::db::{Class, StoreError};
use crate::repair::driver::{Done, Repair, Trigger};
use crate::store::run::backlog::{backlog, foreign_oldest};

const PERIOD: Duration = Duration::from_secs(5);

pub(super) fn repair(engine: Arc<Engine>) -> Repair {
    Repair::new("backlog", Trigger::Each(PERIOD), move || once(engine.clone()))
}

async fn once(engine: Arc<Engine>) -> Result<Done, StoreError> {
    let db = engine.db(Class::Engine);
    let rows = db.read((), |c, ()| backlog(c).boxed()).await?;
    let foreign = db.read((), |c, ()| foreign_oldest(c).boxed()).await?;
    let counts: HashMap<_, _> =
        rows.iter().map(|row| ((row.state.as_str(), row.lane.as_str()), (row.runs, row.age_seconds))).collect();
    engine.metrics.sampled(|state, lane| counts.get(&(state, lane)).copied().unwrap_or_default());
    engine.metrics.foreign_transaction_seconds.set(foreign.transaction_seconds);
    engine.metrics.foreign_snapshot_transactions.set(foreign.snapshot_transactions.into());
    Ok(Done::changed([]))
}
