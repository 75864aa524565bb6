//! Offers runs whose time has come: enqueued for later, snoozed, or held back because nobody took them.

use std::sync::Arc;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::Engine;
use crate::db::{Class, StoreError};
use crate::repair::poll::Wakes;
use crate::repair::ticker;
use crate::store::run::due::run_due;

pub async fn run(engine: Arc<Engine>, wakes: Arc<Wakes>, closing: CancellationToken) {
    ticker::woken("due runs", &wakes.due, closing, || once(&engine)).await;
}

async fn once(engine: &Engine) -> Result<i64, StoreError> {
    let (offered, effects) = engine.db(Class::Engine).write((), |c, ()| run_due(c).boxed()).await?;
    engine.wakeups.send(effects);
    Ok(offered)
}
