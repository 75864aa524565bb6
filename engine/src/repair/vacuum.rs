//! Sweeps the queue under load: each second and not each minute, as the database would, because a claim reads past whatever was
//! claimed since.

use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use crate::Engine;
use crate::db::Class;
use crate::repair::poll::Wakes;
use crate::store::run::vacuum::queue_vacuum;

/// It takes at most the eleventh part of the time: rows that somebody's old snapshot keeps are not to be looked at all the time.
const REST: u32 = 10;

pub async fn run(engine: Arc<Engine>, wakes: Arc<Wakes>, closing: CancellationToken) {
    while let Some(()) = closing.run_until_cancelled(wakes.vacuum.notified()).await {
        let begin = Instant::now();
        match closing.run_until_cancelled(queue_vacuum(engine.db(Class::Engine))).await {
            None => return,
            Some(Ok(true)) => {}
            Some(Ok(false)) => {
                tracing::info!("the queue is left to autovacuum: who serves can not become ops_owner");
                return closing.cancelled().await;
            }
            Some(Err(error)) => tracing::debug!(%error, "the queue was not swept; it is tried again"),
        }
        closing.run_until_cancelled(tokio::time::sleep(begin.elapsed() * REST)).await;
    }
}
