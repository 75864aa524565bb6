//! The frames that a worker and the server send to each other over Connect.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use crate::domain::event::EventBatch;
use crate::domain::run::Progress;
use crate::domain::violation::Violations;
use crate::domain::weight::Weight;
use crate::domain::worker::{Order, WorkerPause, WorkerProfile};
use crate::domain::{GrantKey, Outcome, Refusal, Run};

/// The first frame of a worker.
#[derive(Debug, Clone, PartialEq)]
pub struct Hello {
    pub profile: WorkerProfile,
    pub resume: Option<Resume>,
}

/// What a worker had when its stream was lost.
#[derive(Debug, Clone, PartialEq)]
pub struct Resume {
    pub worker_id: Uuid,
    pub secret: String,
    pub held: Vec<GrantKey>,
    /// Raised with each resume of the worker; 0 if it does not number them.
    pub sequence: i64,
}

/// A frame of a worker after its first.
#[derive(Debug, Clone, PartialEq)]
pub enum WorkerFrame {
    /// Cumulative since Hello.
    Credit(i64),
    Accepts(Vec<GrantKey>),
    Heartbeat(Heartbeat),
    /// A wrong batch is refused alone, and the stream goes on.
    Events(Result<EventBatch, Refused<EventRange>>),
    /// A wrong report is refused alone, and the stream goes on.
    Reports(Vec<Result<Report, Refused<GrantKey>>>),
    CancelAcks(Vec<GrantKey>),
    Goodbye {
        reason: String,
    },
}

/// A range of a grant's events.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EventRange {
    pub grant: GrantKey,
    pub through_seq: i64,
    pub count: u32,
}

/// A wrong item of a frame. Its subject could be read, so it can be answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused<T> {
    pub subject: T,
    pub violations: Violations,
}

/// A worker is alive and holds these grants.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Heartbeat {
    pub grants: Vec<GrantKey>,
    pub progress: Vec<(GrantKey, Progress)>,
    /// Why it takes no runs for now.
    pub pause: Option<WorkerPause>,
}

/// How a grant ended, as its worker reports it.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    pub grant: GrantKey,
    pub outcome: Outcome,
}

/// A frame of the server.
#[derive(Debug, Clone)]
pub enum ServerFrame {
    Welcome(Welcome),
    /// Without those that were taken out before the worker read them.
    Assignments(Vec<Parcel>),
    Starts(Vec<Start>),
    Revokes(Vec<Revoke>),
    HeartbeatAck {
        lost: Vec<GrantKey>,
        frozen: bool,
    },
    EventsAck {
        grant: GrantKey,
        through_seq: i64,
        credits: u32,
        rejected: Option<Rejection>,
    },
    ReportAcks(Vec<ReportAnswer>),
    Cancels(Vec<Order>),
    Drain(DrainReason),
}

/// The answer to Hello.
#[derive(Debug, Clone, PartialEq)]
pub struct Welcome {
    pub worker_id: Uuid,
    pub secret: String,
    pub stream_epoch: i64,
    pub heartbeat_interval: Duration,
    pub lease_timeout: Duration,
    pub event_credits: u32,
    pub standing: Vec<GrantKey>,
    /// What became of the grants that a resume named and that do not stand.
    pub settled: Vec<ReportAnswer>,
}

/// A run given to a worker; the fence is the run's own.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    pub run: Run,
}

/// A run on its way to a worker. Clones share it, and the first that takes it has it: the worker, or the server if it takes the grant
/// back before the worker has read it.
#[derive(Debug, Clone)]
pub struct Parcel {
    assignment: Arc<Mutex<Option<Assignment>>>,
    bytes: usize,
}

impl Parcel {
    pub fn new(run: Run) -> Self {
        let bytes = run.weight();
        Self { assignment: Arc::new(Mutex::new(Some(Assignment { run }))), bytes }
    }

    /// The run; `None` if it was taken before.
    pub fn take(&self) -> Option<Assignment> {
        self.assignment.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Weight for Parcel {
    fn weight(&self) -> usize {
        self.bytes
    }
}

/// A worker may start this grant now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Start {
    pub grant: GrantKey,
    pub attempt: i32,
}

/// A worker must not start this grant, or must stop it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Revoke {
    pub grant: GrantKey,
}

/// The answer to a report. It is accepted if `rejected` is `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportAnswer {
    pub grant: GrantKey,
    pub rejected: Option<Rejection>,
}

/// Why the server did not keep what a worker sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Rejection {
    /// A value is wrong; the text says which.
    Invalid(String),
    Refused(Refusal),
}

/// Why a worker is drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainReason {
    Operator,
    ServerShutdown,
}
