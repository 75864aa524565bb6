//! Tells the workers of this replica what the database has for them: to stop a run, that a run is lost, to drain.

use std::sync::Arc;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::db::{Db, StoreError};
use crate::domain::Lease;
use crate::domain::frame::DrainReason;
use crate::domain::worker::CancelKind;
use crate::store::run::cancel::{cancel_pending, cancel_sent};
use crate::store::worker::record::worker_draining;
use crate::stream::registry::Registry;
use crate::telemetry::Metrics;
use crate::wakeups::{Topic, Wakeups};

/// Looks on each wakeup; what was not woken at is found by the poll.
pub async fn run(db: Db, wakeups: Wakeups, registry: Arc<Registry>, metrics: Metrics, closing: CancellationToken) {
    loop {
        tokio::select! {
            () = wakeups.awaited(Topic::Cancels) => {}
            () = closing.cancelled() => return,
        }
        if let Err(error) = batch(&db, &registry, &metrics).await {
            tracing::warn!(%error, "cancels can not be read; they are looked for again in a second");
        }
    }
}

async fn batch(db: &Db, registry: &Registry, metrics: &Metrics) -> Result<(), StoreError> {
    let workers: Vec<Uuid> = registry.all().iter().map(|connection| connection.worker_id).collect();
    if workers.is_empty() {
        return Ok(());
    }
    let read = db.read(workers, |c, workers| {
        async move { Ok((cancel_pending(c, workers).await?, worker_draining(c, workers).await?)) }.boxed()
    });
    let (orders, draining) = read.await?;
    let mut told = Vec::new();
    for order in orders {
        let Some(connection) = registry.get(order.worker_id) else { continue };
        if order.kind == CancelKind::Revoke {
            told.push(Lease { run_id: order.run_id, fence: order.fence });
        }
        let asked_ago = order.asked_ago;
        if connection.tell(order) {
            metrics.cancel_seconds.observe(asked_ago.as_secs_f64());
        }
    }
    for worker_id in draining {
        if let Some(connection) = registry.get(worker_id) {
            connection.drain(DrainReason::Operator);
        }
    }
    if told.is_empty() {
        return Ok(());
    }
    db.write(told, |c, told| cancel_sent(c, told).boxed()).await
}
