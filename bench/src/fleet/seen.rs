//! The behaviour of workers, and their counts and times.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use tokio::sync::Notify;
use uuid::Uuid;

use crate::times::Times;

/// What workers do with a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Execution {
    /// They report success as soon as the run may start.
    EndAtOnce,
    /// They keep the run and its slot until the run is cancelled.
    KeepUntilCancelled,
}

/// The counts and times of all workers of a fleet.
#[derive(Debug, Default)]
pub struct Seen {
    /// The run and the fence of each grant that was started.
    pub started: Mutex<Vec<(Uuid, i64)>>,
    pub starts: AtomicU64,
    /// Reports that were accepted.
    pub ended: AtomicU64,
    /// From the due time of a run to its start.
    pub start_times: Times,
    /// From the due time of a cancel to its arrival at the worker.
    pub cancel_times: Times,
    /// From a heartbeat to its answer.
    pub heartbeat_times: Times,
    /// Notified at each start and each accepted report.
    pub changed: Notify,
}
