//! Vacuums the queue under load each second, and not each minute as autovacuum would: a claim reads past the dead rows of all runs that
//! were claimed since.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::Engine;
use crate::db::{Class, StoreError};
use crate::repair::driver::{Done, Repair, Trigger};
use crate::store::run::vacuum::queue_vacuum;

/// The vacuum takes at most an eleventh of the time. It can not remove rows that an old snapshot keeps alive, so it must not read them all
/// the time.
const REST: u32 = 10;

pub(super) fn repair(engine: Arc<Engine>, closing: CancellationToken) -> Repair {
    let once = move || once(engine.clone(), closing.clone());
    Repair::new("vacuum", Trigger::Found(|found| found.littered), once).resting(REST)
}

/// A shutdown does not wait for a vacuum.
async fn once(engine: Arc<Engine>, closing: CancellationToken) -> Result<Done, StoreError> {
    let vacuumed = closing.run_until_cancelled(queue_vacuum(engine.db(Class::Engine))).await.transpose()?;
    if vacuumed == Some(false) {
        tracing::info!("the queue is left to autovacuum: the login role can not become ops_owner");
        return Ok(Done::GivenUp);
    }
    Ok(Done::changed([]))
}
