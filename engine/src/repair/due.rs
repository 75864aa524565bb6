//! Offers runs whose time has come: enqueued for later, snoozed, or held back because nobody took them.

use std::sync::Arc;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::Engine;
use crate::db::{Class, StoreError};
use crate::repair::poll::Wakes;
use crate::repair::ticker;
use crate::store::run::due::run_due;
use crate::wakeups::Topic;

pub async fn run(engine: Arc<Engine>, wakes: Arc<Wakes>, closing: CancellationToken) {
    ticker::woken("due runs", &wakes.due, closing, || once(&engine)).await;
}

async fn once(engine: &Engine) -> Result<u64, StoreError> {
    let offered = engine.db(Class::Engine).write((), |c, ()| run_due(c).boxed()).await?;
    if offered > 0 {
        engine.wakeups.give(Topic::Work);
        engine.wakeups.give(Topic::Changes);
    }
    Ok(offered)
}
