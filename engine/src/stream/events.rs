//! Log events of all workers, in batches of their own, so that a flood of events delays nothing else.

use std::future::Future;
use std::sync::Arc;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::EngineError;
use crate::batch::batcher::{Abandoned, BatchBounds, BatchRequest, Batcher, batches};
use crate::batch::foreign_locks::{LockedRows, Locks, Wait};
use crate::batch::halving::halve;
use crate::db::{Db, StoreError};
use crate::domain::weight::Weight;
use crate::domain::{GrantKey, Refusal};
use crate::store::event::append::{GuardedEvents, run_events_append};
use crate::telemetry::Metrics;
use crate::wakeups::Wakeups;

/// The bounds for all streams. Event credits bound the events of one stream.
const BOUNDS: BatchBounds = BatchBounds {
    waiting: 10_000,
    waiting_items: 200_000,
    waiting_bytes: 64 << 20,
    items: 2_000,
    bytes: 8 << 20,
    abandoned: Abandoned::CarryOut,
};

impl BatchRequest for GuardedEvents {
    fn items(&self) -> usize {
        self.entries.len()
    }
}

impl Weight for GuardedEvents {
    fn weight(&self) -> usize {
        self.entries.weight()
    }
}

/// Where events are submitted.
#[derive(Debug, Clone)]
pub struct Events {
    batches: Batcher<GuardedEvents, Result<bool, EngineError>>,
}

impl Events {
    /// The handle and its loop.
    pub fn new(
        db: Db,
        wakeups: Wakeups,
        metrics: &Metrics,
        closing: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let locked = Arc::new(LockedRows::new(db.clone(), Locks::RunKeys));
        let work = move |batches: Vec<GuardedEvents>| {
            let (db, wakeups, locked) = (db.clone(), wakeups.clone(), locked.clone());
            async move { halve(batches, |batches| write_free(db.clone(), wakeups.clone(), &locked, batches)).await }
        };
        let (batches, run) = batches(BOUNDS, closing, metrics.measured("events", work));
        (Self { batches }, run)
    }

    /// Writes events, each position once. Fails with `LeaseLost` if the grant has ended.
    pub async fn append(&self, batch: GuardedEvents) -> Result<(), EngineError> {
        let GrantKey { run_id, fence } = batch.guard.grant;
        if self.batches.submit(batch).await?? { Ok(()) } else { Err(Refusal::LeaseLost { run_id, fence }.into()) }
    }
}

/// Writes the events whose runs no other transaction has locked. The others fail with `LockTimeout`, and are tried again.
async fn write_free(
    db: Db,
    wakeups: Wakeups,
    locked: &LockedRows,
    batches: Arc<[GuardedEvents]>,
) -> Result<Vec<Result<bool, EngineError>>, StoreError> {
    let run = |batch: &GuardedEvents| [batch.guard.grant.run_id];
    locked.around_each(batches, run, |free, wait| batch(db.clone(), wakeups.clone(), free, wait)).await
}

/// Writes one batch. Returns which items were kept.
async fn batch(db: Db, wakeups: Wakeups, batches: Arc<[GuardedEvents]>, wait: Wait) -> Result<Vec<bool>, StoreError> {
    // One statement that commits itself, so it says itself how long it waits.
    let lock_timeout = match wait {
        Wait::Briefly => db.batch_lock_timeout(),
        Wait::Long => db.lock_timeout(),
    };
    let appended = db.write(batches, move |c, batches| run_events_append(c, batches, lock_timeout).boxed());
    let (kept, effects) = appended.await?;
    wakeups.send(effects);
    Ok(kept)
}
