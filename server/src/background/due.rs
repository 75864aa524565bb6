//! Offers runs whose time has come: enqueued for later, snoozed, or held back because nobody took them.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::poll::Wakes;
use super::ticker;
use crate::engine::Engine;
use crate::engine::hints::Topic;
use crate::store::StoreError;
use crate::store::due::run_due;

pub async fn run(engine: Arc<Engine>, wakes: Arc<Wakes>, closing: CancellationToken) {
    ticker::woken("due runs", &wakes.due, closing, || once(&engine)).await;
}

async fn once(engine: &Engine) -> Result<u64, StoreError> {
    let offered = engine.db.run(|c| Box::pin(run_due(c))).await?;
    if offered > 0 {
        engine.hints.give(Topic::Work);
        engine.hints.give(Topic::Changes);
    }
    Ok(offered)
}
