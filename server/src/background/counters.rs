//! Folds what rounds append to sessions' counters, and completes closed sessions whose runs have all ended.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::store::StoreError;
use crate::store::counter::{FOLD_SESSIONS, Folded, session_fold_in_tx};

const PERIOD: Duration = Duration::from_secs(1);

/// Folds each second, and on while there is more.
pub async fn run(engine: Arc<Engine>, closing: CancellationToken) {
    loop {
        match once(&engine).await {
            Ok(folded) => {
                if folded.completed > 0 {
                    tracing::info!(?folded, "sessions are completed");
                }
                if folded.sessions >= FOLD_SESSIONS {
                    continue;
                }
            }
            Err(error) => tracing::warn!(%error, "counters were not folded; readers add what is not folded"),
        }
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = closing.cancelled() => return,
        }
    }
}

async fn once(engine: &Engine) -> Result<Folded, StoreError> {
    engine.db.transaction(|c| Box::pin(session_fold_in_tx(c))).await
}
