//! How a worker stands, and what it has done.

/// How a worker stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerStatus {
    /// Its id, once a server has welcomed it.
    pub worker_id: Option<String>,
    /// Whether it has a stream now.
    pub is_connected: bool,
    /// Whether it has been told to take no more work.
    pub is_draining: bool,
    /// Runs that it executes now.
    pub running: usize,
}

/// What a worker has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerSummary {
    /// Its id at the end; `None` if no server has ever welcomed it.
    pub worker_id: Option<String>,
    /// Who ended it.
    pub drained_by: DrainedBy,
    /// Runs that it has begun.
    pub started: u64,
    /// Reports of success that were accepted.
    pub succeeded: u64,
    /// Reports of failure that were accepted.
    pub failed: u64,
    /// Reports of cancellation that were accepted.
    pub cancelled: u64,
    /// Reports of runs put off that were accepted.
    pub snoozed: u64,
    /// Grants that were lost, and their handlers killed without a report.
    pub lost: u64,
    /// Reports that were refused.
    pub refused: u64,
    /// Reports that were not acknowledged when the worker had to leave.
    pub unreported: u64,
    /// How often it was welcomed.
    pub connects: u64,
}

/// Who told a worker to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DrainedBy {
    /// Its own process.
    #[default]
    Shutdown,
    /// An operator, through the server.
    Operator,
}
