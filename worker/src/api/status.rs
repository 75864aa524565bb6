//! The status of a worker, and what it has done.

/// The status of a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerStatus {
    /// Its id, from the first `Welcome` on.
    pub worker_id: Option<String>,
    /// Whether it has a stream now.
    pub is_connected: bool,
    /// Whether it takes no more runs.
    pub is_draining: bool,
    /// Runs that it executes now.
    pub running: usize,
    /// Why it takes no runs for now, if it lacks what they need, such as file descriptors.
    pub paused: Option<String>,
}

/// What a worker has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerSummary {
    /// Its id at the end; `None` if no server ever sent `Welcome`.
    pub worker_id: Option<String>,
    /// What ended it.
    pub drained_by: DrainedBy,
    /// Runs that it started.
    pub started: u64,
    /// Accepted reports of success.
    pub succeeded: u64,
    /// Accepted reports of failure.
    pub failed: u64,
    /// Accepted reports of cancellation.
    pub cancelled: u64,
    /// Accepted reports of snoozed runs.
    pub snoozed: u64,
    /// Accepted reports of runs that it could not execute because it lacked something.
    pub given_back: u64,
    /// Lost grants; the worker killed their handlers and reported nothing.
    pub lost: u64,
    /// Refused reports.
    pub refused: u64,
    /// Reports without an acknowledgement when the worker left.
    pub unreported: u64,
    /// How often a server sent `Welcome`.
    pub connects: u64,
}

/// What ended a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DrainedBy {
    /// The shutdown of its own process.
    #[default]
    Shutdown,
    /// An operator, through the server.
    Operator,
}
