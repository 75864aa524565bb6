//! Repairs cancels that no worker confirms: 5 s after the grace the lease is revoked and the run is cancelled, unconfirmed.
//! And cancelled sessions some of whose runs were not cancelled, because who did so died midway.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::poll::Wakes;
use super::ticker;
use crate::engine::Engine;
use crate::engine::cancels::cancel_runs;
use crate::engine::hints::Topic;
use crate::store::StoreError;
use crate::store::cancel::{run_cancel_unconfirmed, session_cancel_unfinished};

pub async fn run(engine: Arc<Engine>, wakes: Arc<Wakes>, closing: CancellationToken) {
    ticker::woken("unconfirmed cancels", &wakes.cancels, closing, || once(&engine)).await;
}

async fn once(engine: &Engine) -> Result<usize, StoreError> {
    let ended = engine.db.run(|c| Box::pin(run_cancel_unconfirmed(c))).await?;
    if ended > 0 {
        engine.hints.give(Topic::Changes);
        engine.hints.give(Topic::Cancels);
    }
    for session_id in engine.db.run(|c| Box::pin(session_cancel_unfinished(c))).await? {
        cancel_runs(engine, session_id).await?;
    }
    Ok(ended)
}
