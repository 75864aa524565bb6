//! One worker's stream on this replica: what is sent to it, and the grants of its grants.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::domain::frame::{Assignment, DrainReason, Revoke, ServerFrame};
use crate::domain::weight::{MESSAGE_BYTES, messages};
use crate::domain::worker::{CancelKind, CancelOrder};
use crate::domain::{Lease, Run};
use crate::store::run::claim::ClaimGroup;
use crate::store::run::guard::Guard;
use crate::stream::grants::Grants;

/// Frames that may wait for a worker to read them. A worker has at most a few of each sort on their way; one that reads
/// none of them is cut off.
pub const OUTBOX_FRAMES: usize = 1_024;

/// Why a stream was ended from this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEnd {
    /// The worker does not read.
    NotReading,
    /// A newer stream of the same worker has taken its place.
    Replaced,
    ShuttingDown,
}

/// A stream of a worker.
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

    /// What the worker was given. Never held across a wait.
    pub fn grants(&self) -> MutexGuard<'_, Grants> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Guards a write under one of this stream's grants.
    pub fn guard(&self, lease: Lease) -> Guard {
        Guard { lease, worker_id: self.worker_id, epoch: self.epoch }
    }

    /// Sends a frame, or cuts the stream off if its worker does not read.
    pub fn send(&self, frame: ServerFrame) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.outbox.try_send(frame) {
            self.end(StreamEnd::NotReading);
        }
    }

    /// Gives runs to the worker. False if the stream has ended, so that they must be given back.
    pub fn assign(&self, runs: Vec<Run>) -> bool {
        let now = Instant::now();
        let mut grants = self.grants();
        // Under the grants's lock, so that `close` either sees these grants or is seen here.
        if self.ended.is_cancelled() {
            return false;
        }
        for run in &runs {
            grants.assign(Lease { run_id: run.id, fence: run.fence }, run.attempt, now);
        }
        drop(grants);
        for message in messages(runs, MESSAGE_BYTES) {
            self.send(ServerFrame::Assignments(message.into_iter().map(|run| Assignment { run }).collect()));
        }
        true
    }

    /// Tells the worker to stop a run, once, or that it has lost one. Whether it was told to stop.
    pub fn tell(&self, order: CancelOrder) -> bool {
        let lease = Lease { run_id: order.run_id, fence: order.fence };
        match order.kind {
            CancelKind::Cancel => {
                let is_news = self.grants().cancel(lease);
                if is_news {
                    self.send(ServerFrame::Cancels(vec![order]));
                }
                is_news
            }
            CancelKind::Revoke => {
                self.revoke(vec![lease]);
                false
            }
        }
    }

    /// Takes grants away.
    pub fn revoke(&self, leases: Vec<Lease>) {
        let mut grants = self.grants();
        leases.iter().for_each(|lease| {
            grants.end(*lease);
        });
        drop(grants);
        self.send(ServerFrame::Revokes(leases.into_iter().map(|lease| Revoke { lease }).collect()));
    }

    /// Gives no more runs, and says so, once.
    pub fn drain(&self, reason: DrainReason) {
        if self.grants().drain() {
            self.send(ServerFrame::Drain(reason));
        }
    }

    /// Ends the stream from this side; the first reason counts.
    pub fn end(&self, why: StreamEnd) {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        self.ended.cancel();
    }

    /// Cancelled when the stream is ended from this side, or has ended.
    pub fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Why it was ended from this side, if it was.
    pub fn end_reason(&self) -> Option<StreamEnd> {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks the stream as ended and takes out what was not started. Nothing is assigned from here on.
    pub fn close(&self) -> Vec<Lease> {
        self.ended.cancel();
        self.grants().take_unstarted()
    }
}
