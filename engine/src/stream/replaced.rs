//! Ends the streams of this server whose workers have newer ones at other servers. No run may be given to a stream that can not start it.

use std::sync::Arc;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::db::{Db, StoreError};
use crate::store::worker::record::worker_replaced;
use crate::stream::connection::StreamEnd;
use crate::stream::registry::Registry;
use crate::wakeups::{Topic, Wakeups};

/// Looks for replaced streams on each wakeup. The poll finds one whose wakeup was lost.
pub async fn run(db: Db, wakeups: Wakeups, registry: Arc<Registry>, closing: CancellationToken) {
    loop {
        tokio::select! {
            () = wakeups.awaited(Topic::Streams) => {}
            () = closing.cancelled() => return,
        }
        if let Err(error) = end_replaced(&db, &registry).await {
            tracing::warn!(%error, "replaced streams can not be found; the next try follows in a second");
        }
    }
}

async fn end_replaced(db: &Db, registry: &Registry) -> Result<(), StoreError> {
    let streams = registry.epochs();
    if streams.is_empty() {
        return Ok(());
    }
    let replaced = db.read(streams, |c, streams| worker_replaced(c, streams).boxed()).await?;
    for (worker_id, epoch) in replaced {
        if let Some(connection) = registry.get(worker_id).filter(|connection| connection.epoch == epoch) {
            tracing::info!(%worker_id, epoch, "the worker has a newer stream elsewhere");
            connection.end(StreamEnd::Replaced);
        }
    }
    Ok(())
}
