//! One worker's stream on this server: its grants, and the frames that go to it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::domain::frame::{DrainReason, Parcel, Revoke, ServerFrame};
use crate::domain::weight::{Weight, messages};
use crate::domain::worker::Order;
use crate::domain::{GrantKey, Run};
use crate::store::run::claim::ClaimGroup;
use crate::store::run::guard::Guard;
use crate::stream::grants::{Cancelling, FreeSlots, Grants};
use crate::stream::offers::Offers;

/// How many frames may wait until the worker reads them. For a worker that reads, only a few of each kind wait. A worker that does not
/// read loses its stream.
pub const OUTBOX_FRAMES: usize = 1_024;

/// The most bytes of runs in one frame, unless its only run is larger. A frame that is being sent is kept as a whole until the worker has
/// read most of it, and delays all other frames.
pub const ASSIGNMENTS_BYTES: usize = 256 * 1024;

/// Why the server ended a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEnd {
    /// The worker does not read.
    NotReading,
    /// The worker has a newer stream.
    Replaced,
    ShuttingDown,
}

/// A worker's stream.
#[derive(Debug)]
pub struct Connection {
    pub worker_id: Uuid,
    pub worker_name: String,
    pub epoch: i64,
    pub group: ClaimGroup,
    pub lease: Duration,
    outbox: mpsc::Sender<ServerFrame>,
    grants: Mutex<Grants>,
    end: Mutex<Option<StreamEnd>>,
    ended: CancellationToken,
}

impl Connection {
    pub fn new(
        worker_id: Uuid,
        worker_name: String,
        epoch: i64,
        group: ClaimGroup,
        lease: Duration,
        outbox: mpsc::Sender<ServerFrame>,
    ) -> Arc<Self> {
        Arc::new(Self {
            worker_id,
            worker_name,
            epoch,
            group,
            lease,
            outbox,
            grants: Mutex::default(),
            end: Mutex::default(),
            ended: CancellationToken::new(),
        })
    }

    /// The grants of the stream. Never hold this lock across an await.
    pub fn grants(&self) -> MutexGuard<'_, Grants> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Guards a write about one of the stream's grants.
    pub fn guard(&self, grant: GrantKey) -> Guard {
        Guard { grant, worker_id: self.worker_id, epoch: self.epoch }
    }

    /// Sends a frame. Ends the stream if the outbox is full.
    pub fn send(&self, frame: ServerFrame) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.outbox.try_send(frame) {
            self.end(StreamEnd::NotReading);
        }
    }

    /// How many more runs of this size the worker can be given.
    pub fn free(&self, run_bytes: usize) -> FreeSlots {
        let has_read = self.outbox.capacity() == self.outbox.max_capacity();
        self.grants().free(run_bytes, has_read, Instant::now())
    }

    /// Gives runs to the worker. Returns those for which there is no room, or all if the stream has ended: the caller must give them back.
    pub fn assign(&self, runs: Vec<Run>, offers: &Offers) -> Vec<GrantKey> {
        let now = Instant::now();
        let mut grants = self.grants();
        // This check holds the lock of the grants: `close` takes it after it has set `ended`, and so finds every grant added here.
        if self.ended.is_cancelled() {
            return runs.iter().map(Run::grant_key).collect();
        }
        let (mut parcels, mut left) = (Vec::with_capacity(runs.len()), Vec::new());
        for run in runs {
            let (key, attempt) = (run.grant_key(), run.attempt);
            let parcel = Parcel::new(run);
            match offers.take(parcel.weight()) {
                Some(room) => {
                    grants.assign(key, attempt, parcel.clone(), Some(room), now);
                    parcels.push(parcel);
                }
                None => left.push(key),
            }
        }
        drop(grants);
        for message in messages(parcels, ASSIGNMENTS_BYTES) {
            self.send(ServerFrame::Assignments(message));
        }
        left
    }

    /// Cancels a grant of the worker. The cancel is sent once. A grant that did not start is taken away; then the caller must give it back.
    pub fn cancel(&self, order: Order) -> Cancelling {
        let grant = order.grant;
        let cancelling = self.grants().cancel(grant);
        match cancelling {
            Cancelling::Send => self.send(ServerFrame::Cancels(vec![order])),
            Cancelling::TakeBack { was_read: true } => self.send(ServerFrame::Revokes(vec![Revoke { grant }])),
            Cancelling::TakeBack { was_read: false } | Cancelling::Sent | Cancelling::Unknown => {}
        }
        cancelling
    }

    /// Takes grants away from the worker.
    pub fn revoke(&self, mut lost: Vec<GrantKey>) {
        let mut grants = self.grants();
        lost.retain(|grant| grants.revoke(*grant));
        drop(grants);
        if lost.is_empty() {
            return;
        }
        self.send(ServerFrame::Revokes(lost.into_iter().map(|grant| Revoke { grant }).collect()));
    }

    /// Drains the stream: it gets no more runs, and one Drain frame.
    pub fn drain(&self, reason: DrainReason) {
        if self.grants().drain() {
            self.send(ServerFrame::Drain(reason));
        }
    }

    /// Ends the stream. The first reason counts.
    pub fn end(&self, why: StreamEnd) {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        self.ended.cancel();
    }

    /// Cancelled once the stream has ended, from either side.
    pub fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Why the server ended the stream; `None` if the worker did.
    pub fn end_reason(&self) -> Option<StreamEnd> {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks the stream as ended, so that it gets no more runs. Removes and returns the grants that did not start.
    pub fn close(&self) -> Vec<GrantKey> {
        self.ended.cancel();
        self.grants().take_unstarted()
    }
}
