//! Heartbeats of all workers, in batches.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::EngineError;
use crate::batch::batcher::{Abandoned, BatchBounds, BatchRequest, Batcher, batches};
use crate::batch::foreign_locks::{LockedRows, Locks, Wait};
use crate::db::{Db, StoreError};
use crate::domain::GrantKey;
use crate::domain::frame::Heartbeat;
use crate::domain::run::Progress;
use crate::domain::weight::Weight;
use crate::store::run::guard::Guard;
use crate::store::run::lease::{LeaseBeat, run_heartbeat, run_lease_extend};
use crate::store::worker::record::worker_heard;
use crate::telemetry::Metrics;
use crate::wakeups::Wakeups;

/// Heartbeats that may wait: one for each of far more workers than a server serves.
const BOUNDS: BatchBounds = BatchBounds {
    waiting: 50_000,
    waiting_items: 500_000,
    waiting_bytes: 64 << 20,
    items: 2_000,
    bytes: 4 << 20,
    abandoned: Abandoned::CarryOut,
};

/// A heartbeat of one worker.
#[derive(Debug, Clone)]
struct Beat {
    worker_id: Uuid,
    epoch: i64,
    heartbeat: Heartbeat,
}

impl BatchRequest for Beat {
    fn items(&self) -> usize {
        1 + self.heartbeat.grants.len()
    }
}

impl Weight for Beat {
    fn weight(&self) -> usize {
        self.heartbeat.progress.iter().map(|(_, progress)| progress.weight()).sum()
    }
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BeatAnswer {
    /// Grants that are no longer the worker's own.
    pub lost: Vec<GrantKey>,
    /// Whether the worker has a newer stream, or is not known.
    pub replaced: bool,
}

/// Where heartbeats are submitted.
#[derive(Debug, Clone)]
pub struct Leases {
    batches: Batcher<Beat, BeatAnswer>,
}

impl Leases {
    /// The handle and its loop.
    pub fn new(
        db: Db,
        wakeups: Wakeups,
        metrics: &Metrics,
        closing: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let locked = Arc::new(LockedRows::new(db.clone(), Locks::Runs));
        let work = move |beats: Vec<Beat>| {
            let (db, wakeups, locked) = (db.clone(), wakeups.clone(), locked.clone());
            async move {
                match batch(&db, &wakeups, &locked, &beats).await {
                    Ok(answers) => answers.into_iter().map(Ok).collect(),
                    Err(error) => beats.iter().map(|_| Err(EngineError::Store(error.clone()))).collect(),
                }
            }
        };
        let (batches, run) = batches(BOUNDS, closing, metrics.measured("leases", work));
        (Self { batches }, run)
    }

    /// Extends the leases that a worker names.
    pub async fn beat(&self, worker_id: Uuid, epoch: i64, heartbeat: Heartbeat) -> Result<BeatAnswer, EngineError> {
        self.batches.submit(Beat { worker_id, epoch, heartbeat }).await
    }
}

/// Writes one batch. Returns which leases are lost. A run that another transaction has locked is not written, but its lease is extended.
async fn batch(db: &Db, wakeups: &Wakeups, locked: &LockedRows, beats: &[Beat]) -> Result<Vec<BeatAnswer>, StoreError> {
    let mut rows: Vec<LeaseBeat> = beats.iter().flat_map(rows_of).collect();
    rows.sort_by_key(|row| row.guard.grant);
    let streams: Vec<(Uuid, i64)> = beats.iter().map(|beat| (beat.worker_id, beat.epoch)).collect();
    let rows: Arc<[LeaseBeat]> = rows.into();
    let run = |row: &LeaseBeat| [row.guard.grant.run_id];
    let written = locked.around_items(rows.clone(), run, |free, wait| async move {
        match wait {
            Wait::Briefly => db.batch(free, |c, rows| run_heartbeat(c, rows).boxed()).await,
            Wait::Long => db.transaction(free, |c, rows| run_heartbeat(c, rows).boxed()).await,
        }
    });
    let ((touched, effects), locked) = written.await?;
    wakeups.send(effects);
    let late: Vec<Guard> =
        rows.iter().map(|row| row.guard).filter(|guard| locked.contains(&guard.grant.run_id)).collect();
    if !late.is_empty() {
        extend(db, late).await;
    }
    let heard = db.write(streams, |c, streams| worker_heard(c, streams).boxed()).await?;
    let heard: HashSet<Uuid> = heard.into_iter().collect();
    let answer = |beat: &Beat| BeatAnswer {
        lost: beat
            .heartbeat
            .grants
            .iter()
            .filter(|grant| !touched.contains(&(beat.worker_id, **grant)) && !locked.contains(&grant.run_id))
            .copied()
            .collect(),
        replaced: !heard.contains(&beat.worker_id),
    };
    Ok(beats.iter().map(answer).collect())
}

/// Extends the leases of locked runs. If that fails, the next heartbeat does it.
async fn extend(db: &Db, late: Vec<Guard>) {
    let extended = db.write(late, |c, late| run_lease_extend(c, late).boxed());
    if let Err(error) = extended.await {
        tracing::warn!(%error, "leases of locked runs were not extended");
    }
}

/// The leases that a heartbeat names, each with the progress that it reports.
fn rows_of(beat: &Beat) -> Vec<LeaseBeat> {
    let mut progress: HashMap<GrantKey, &Progress> =
        beat.heartbeat.progress.iter().map(|(grant, progress)| (*grant, progress)).collect();
    let grants: HashSet<GrantKey> = beat.heartbeat.grants.iter().copied().collect();
    grants
        .into_iter()
        .map(|grant| LeaseBeat {
            guard: Guard { grant, worker_id: beat.worker_id, epoch: beat.epoch },
            progress: progress.remove(&grant).cloned(),
        })
        .collect()
}
