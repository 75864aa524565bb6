//! Tells the workers of this replica what the database has for them: to stop a run, that a run is lost, to drain.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::hints::{Hints, Topic};
use super::parts::Engine;
use super::registry::Registry;
use crate::domain::Lease;
use crate::domain::frame::DrainReason;
use crate::domain::worker::CancelKind;
use crate::store::cancel::{
    CANCEL_PAGE, cancel_pending, cancel_told, session_cancel_page, session_cancel_runs_in_tx,
};
use crate::store::worker::worker_draining;
use crate::store::{Db, StoreError};
use crate::telemetry::Metrics;

/// Looks on each hint; what was not hinted at is found by the poll.
pub async fn run(db: Db, hints: Hints, registry: Arc<Registry>, metrics: Metrics, closing: CancellationToken) {
    loop {
        tokio::select! {
            () = hints.awaited(Topic::Cancels) => {}
            () = closing.cancelled() => return,
        }
        if let Err(error) = round(&db, &registry, &metrics).await {
            tracing::warn!(%error, "cancels can not be read; they are looked for again in a second");
        }
    }
}

async fn round(db: &Db, registry: &Registry, metrics: &Metrics) -> Result<(), StoreError> {
    let workers: Vec<Uuid> = registry.all().iter().map(|connection| connection.worker_id).collect();
    if workers.is_empty() {
        return Ok(());
    }
    let read = db.run(move |c| {
        let workers = workers.clone();
        Box::pin(async move { Ok((cancel_pending(c, &workers).await?, worker_draining(c, &workers).await?)) })
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
    db.run(move |c| {
        let told = told.clone();
        Box::pin(async move { cancel_told(c, &told).await })
    })
    .await
}

/// Cancels all runs of a cancelled session, in pages, but for those that another transaction has locked. What is cancelled already stays
/// as it is. Answers whether none was locked.
pub async fn cancel_runs(engine: &Engine, session_id: Uuid) -> Result<bool, StoreError> {
    let (mut after, mut all) = (Uuid::nil(), true);
    loop {
        let page = engine.db.run(move |c| Box::pin(session_cancel_page(c, session_id, after))).await?;
        let Some(last) = page.last().copied() else { return Ok(all) };
        let cancelled = engine.locked_runs.around(&page, |locked| {
            let free: Arc<[Uuid]> = page.iter().filter(|run| !locked.contains(run)).copied().collect();
            engine.db.transaction(move |c| {
                let free = free.clone();
                Box::pin(async move { session_cancel_runs_in_tx(c, session_id, &free).await })
            })
        });
        let ((), locked) = cancelled.await?;
        engine.hints.give(Topic::Cancels);
        engine.hints.give(Topic::Changes);
        all &= locked.is_empty();
        if page.len() < CANCEL_PAGE as usize {
            return Ok(all);
        }
        after = last;
    }
}
