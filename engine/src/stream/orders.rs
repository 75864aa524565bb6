//! Sends the workers of this server their orders from the database: to stop a run, to drop a lost run, to drain.

use std::sync::Arc;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::db::{Db, StoreError};
use crate::domain::GrantKey;
use crate::domain::frame::DrainReason;
use crate::domain::worker::OrderKind;
use crate::store::run::orders::{order_pending, order_sent};
use crate::store::worker::record::worker_draining;
use crate::stream::registry::Registry;
use crate::telemetry::Metrics;
use crate::wakeups::{Topic, Wakeups};

/// Looks for orders on each wakeup. The poll finds an order whose wakeup was lost.
pub async fn run(db: Db, wakeups: Wakeups, registry: Arc<Registry>, metrics: Metrics, closing: CancellationToken) {
    loop {
        tokio::select! {
            () = wakeups.awaited(Topic::Orders) => {}
            () = closing.cancelled() => return,
        }
        if let Err(error) = send_orders(&db, &registry, &metrics).await {
            tracing::warn!(%error, "orders to workers can not be read; the next try follows in a second");
        }
    }
}

async fn send_orders(db: &Db, registry: &Registry, metrics: &Metrics) -> Result<(), StoreError> {
    let workers: Vec<Uuid> = registry.all().iter().map(|connection| connection.worker_id).collect();
    if workers.is_empty() {
        return Ok(());
    }
    let read = db.read(workers, |c, workers| {
        async move { Ok((order_pending(c, workers).await?, worker_draining(c, workers).await?)) }.boxed()
    });
    let (orders, draining) = read.await?;
    let mut revoked = Vec::new();
    for order in orders {
        let Some(connection) = registry.get(order.worker_id) else { continue };
        if order.kind == OrderKind::Revoke {
            revoked.push(order.grant);
        }
        let asked_ago = order.asked_ago;
        if connection.order(order) {
            metrics.cancel_seconds.observe(asked_ago.as_secs_f64());
        }
    }
    for worker_id in draining {
        if let Some(connection) = registry.get(worker_id) {
            connection.drain(DrainReason::Operator);
        }
    }
    forget_revokes(db, revoked).await
}

/// Forgets the revokes of grants whose workers were sent them.
pub async fn forget_revokes(db: &Db, revoked: Vec<GrantKey>) -> Result<(), StoreError> {
    if revoked.is_empty() {
        return Ok(());
    }
    db.write(revoked, |c, revoked| order_sent(c, revoked).boxed()).await
}
