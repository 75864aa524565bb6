//! Sends the workers of this server their orders from the database: to stop a run, to drop a lost run, to drain.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::db::{Db, StoreError};
use crate::domain::GrantKey;
use crate::domain::frame::DrainReason;
use crate::domain::worker::OrderKind;
use crate::settings::POLL_INTERVAL;
use crate::store::run::orders::{order_pending, order_sent};
use crate::store::run::release::Release;
use crate::store::worker::record::worker_draining;
use crate::stream::grants::Cancelling;
use crate::stream::registry::Registry;
use crate::stream::releases::Releases;
use crate::telemetry::Metrics;
use crate::wakeups::{Topic, Wakeups};

/// How long after a cancel of a grant that its stream does not have the orders are read again, at first. The delay doubles up to the interval of
/// the poll. The claim of the run may be committed, and the run on its way to the stream.
const UNKNOWN_DELAY: Duration = Duration::from_millis(10);

/// Sends orders, and gives back the grants that are cancelled and did not start.
#[derive(Debug)]
pub struct Orders {
    pub db: Db,
    pub wakeups: Wakeups,
    pub registry: Arc<Registry>,
    pub releases: Releases,
    pub metrics: Metrics,
}

impl Orders {
    /// Looks for orders on each wakeup. The poll finds an order whose wakeup was lost.
    pub async fn run(self, closing: CancellationToken) {
        let mut delay = None;
        loop {
            let again = async {
                match delay {
                    Some(delay) => tokio::time::sleep(delay).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.wakeups.awaited(Topic::Orders) => {}
                () = again => {}
                () = closing.cancelled() => return,
            }
            let all_known = self.send().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "orders to workers can not be read; the next try follows in a second");
                true
            });
            let next = delay.map_or(UNKNOWN_DELAY, |delay| delay * 2);
            delay = (!all_known && next < POLL_INTERVAL).then_some(next);
        }
    }

    /// Sends the orders that wait. Returns whether the streams have all grants that are to be cancelled.
    async fn send(&self) -> Result<bool, StoreError> {
        let workers: Vec<Uuid> = self.registry.all().iter().map(|connection| connection.worker_id).collect();
        if workers.is_empty() {
            return Ok(true);
        }
        let read = self.db.read(workers, |c, workers| {
            async move { Ok((order_pending(c, workers).await?, worker_draining(c, workers).await?)) }.boxed()
        });
        let (orders, draining) = read.await?;
        let (mut revoked, mut unstarted, mut all_known) = (Vec::new(), Vec::new(), true);
        for order in orders {
            let Some(connection) = self.registry.get(order.worker_id) else { continue };
            if order.kind == OrderKind::Revoke {
                revoked.push(order.grant);
                connection.revoke(vec![order.grant]);
                continue;
            }
            let (grant, asked_ago) = (order.grant, order.asked_ago);
            match connection.cancel(order) {
                Cancelling::Send => self.metrics.cancel_seconds.observe(asked_ago.as_secs_f64()),
                Cancelling::TakeBack { .. } => {
                    self.metrics.cancel_seconds.observe(asked_ago.as_secs_f64());
                    let guard = connection.guard(grant);
                    unstarted.push(Release { guard, started_too: false, undelivered: false, unanswered: None });
                }
                Cancelling::Sent => {}
                Cancelling::Unknown => all_known = false,
            }
        }
        self.releases.give_back(unstarted);
        for worker_id in draining {
            if let Some(connection) = self.registry.get(worker_id) {
                connection.drain(DrainReason::Operator);
            }
        }
        forget_revokes(&self.db, revoked).await?;
        Ok(all_known)
    }
}

/// Forgets the revokes of grants whose workers were sent them.
pub async fn forget_revokes(db: &Db, revoked: Vec<GrantKey>) -> Result<(), StoreError> {
    if revoked.is_empty() {
        return Ok(());
    }
    db.write(revoked, |c, revoked| order_sent(c, revoked).boxed()).await
}
