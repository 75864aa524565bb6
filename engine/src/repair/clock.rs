//! Repairs what a clock leaves that has gone back: stored instants of the future count as now (`store/clock.sql`).

use std::sync::Arc;

use futures::FutureExt;

use crate::Engine;
use crate::db::{Class, StoreError};
use crate::repair::driver::{Done, Repair, Trigger};
use crate::store::clock::clock_recover_in_tx;

pub(super) fn repair(engine: Arc<Engine>) -> Repair {
    Repair::new("clock", Trigger::Found(|found| found.set_back), move || once(engine.clone()))
}

async fn once(engine: Arc<Engine>) -> Result<Done, StoreError> {
    let (recovered, effects) = engine.db(Class::Engine).transaction((), |c, ()| clock_recover_in_tx(c).boxed()).await?;
    engine.wakeups.send(effects);
    if recovered.is_done {
        tracing::warn!("the clock of the database has gone back; what was stored in the future counts as now");
        engine.metrics.clock_set_back.inc();
    }
    Ok(Done::changed([("rows", recovered.rows)]))
}
