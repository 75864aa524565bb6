//! Log events of all workers, in rounds of their own: a flood of them holds up nothing else.

use std::future::Future;
use std::sync::Arc;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::EngineError;
use crate::batch::batcher::{Abandoned, RoundBounds, Rounds, Weigh, rounds};
use crate::batch::foreign_locks::{LockedRows, Locks, around_locked};
use crate::batch::halving::bisect;
use crate::db::{Db, StoreError};
use crate::domain::weight::Weight;
use crate::domain::{Lease, Refusal};
use crate::store::event::append::{GuardedEvents, run_events_append};
use crate::telemetry::Metrics;
use crate::wakeups::{Hints, Topic};

/// Batches that may wait; what one stream may have on its way is bounded by its event credits.
const BOUNDS: RoundBounds = RoundBounds {
    waiting: 10_000,
    waiting_items: 200_000,
    waiting_bytes: 64 << 20,
    items: 2_000,
    bytes: 8 << 20,
    abandoned: Abandoned::CarryOut,
};

impl Weigh for GuardedEvents {
    fn items(&self) -> usize {
        self.entries.len()
    }

    fn bytes(&self) -> usize {
        self.entries.iter().map(Weight::weight).sum()
    }
}

/// Where events are handed in.
#[derive(Debug, Clone)]
pub struct Events {
    rounds: Rounds<GuardedEvents, Result<bool, EngineError>>,
}

impl Events {
    /// The handle and its loop.
    pub fn new(
        db: Db,
        hints: Hints,
        metrics: &Metrics,
        closing: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let locked = Arc::new(LockedRows::new(db.clone(), Locks::RunKeys));
        let work = move |batches: Vec<GuardedEvents>| {
            let (db, hints, locked) = (db.clone(), hints.clone(), locked.clone());
            async move { bisect(batches, |batches| round_of_free(db.clone(), hints.clone(), &locked, batches)).await }
        };
        let (rounds, run) = rounds(BOUNDS, closing, metrics.measured("events", work));
        (Self { rounds }, run)
    }

    /// Keeps events, each position once. Refused with `LeaseLost` if the grant does not stand.
    pub async fn append(&self, batch: GuardedEvents) -> Result<(), EngineError> {
        let Lease { run_id, fence } = batch.guard.lease;
        if self.rounds.submit(batch).await?? { Ok(()) } else { Err(Refusal::LeaseLost { run_id, fence }.into()) }
    }
}

/// One batch of what no other transaction has locked; what one has is to be tried again.
async fn round_of_free(
    db: Db,
    hints: Hints,
    locked: &LockedRows,
    batches: Arc<[GuardedEvents]>,
) -> Result<Vec<Result<bool, EngineError>>, StoreError> {
    let runs: Vec<Uuid> = batches.iter().map(|batch| batch.guard.lease.run_id).collect();
    let kept = locked.around(&runs, |locked| {
        let free = |batch: &&GuardedEvents| !locked.contains(&batch.guard.lease.run_id);
        let free: Arc<[GuardedEvents]> =
            if locked.is_empty() { batches.clone() } else { batches.iter().filter(free).cloned().collect() };
        round(db.clone(), hints.clone(), free)
    });
    let (kept, locked) = kept.await?;
    Ok(around_locked(runs.iter().map(|run| locked.contains(run)), kept))
}

/// One round: which batches were kept.
async fn round(db: Db, hints: Hints, batches: Arc<[GuardedEvents]>) -> Result<Vec<bool>, StoreError> {
    let kept = db.write(batches, |c, batches| run_events_append(c, batches).boxed()).await?;
    hints.give(Topic::Changes);
    Ok(kept)
}
