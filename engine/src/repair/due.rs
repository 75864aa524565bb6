//! Offers runs whose time has come: enqueued for later, snoozed, or held back because no worker accepted them.

use std::sync::Arc;

use futures::FutureExt;

use crate::Engine;
use crate::db::{Class, StoreError};
use crate::repair::driver::{Done, Repair, Trigger};
use crate::store::run::due::run_due;

pub(super) fn repair(engine: Arc<Engine>) -> Repair {
    Repair::new("due", Trigger::Found(|found| found.due), move || once(engine.clone()))
}

async fn once(engine: Arc<Engine>) -> Result<Done, StoreError> {
    let (offered, effects) = engine.db(Class::Engine).write((), |c, ()| run_due(c).boxed()).await?;
    engine.wakeups.send(effects);
    Ok(Done::until_nothing([("runs_offered", offered)]))
}
