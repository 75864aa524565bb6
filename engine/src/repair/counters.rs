//! Folds what batches append to sessions' counters, and completes closed sessions whose runs have all ended.

use std::sync::Arc;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::Engine;
use crate::db::{Class, StoreError};
use crate::repair::poll::Wakes;
use crate::store::session::end::{FOLD_SESSIONS, Folded, session_fold_in_tx};

/// Folds when there is something, and on while there is more.
pub async fn run(engine: Arc<Engine>, wakes: Arc<Wakes>, closing: CancellationToken) {
    while let Some(()) = closing.run_until_cancelled(wakes.counters.notified()).await {
        match once(&engine).await {
            Ok(folded) => {
                if folded.completed > 0 {
                    tracing::info!(?folded, "sessions are completed");
                }
                if folded.sessions >= FOLD_SESSIONS {
                    wakes.counters.notify_one();
                }
            }
            Err(error) => tracing::warn!(%error, "counters were not folded; readers add what is not folded"),
        }
    }
}

async fn once(engine: &Engine) -> Result<Folded, StoreError> {
    engine.db(Class::Engine).transaction((), |c, ()| session_fold_in_tx(c).boxed()).await
}
