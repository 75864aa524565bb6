//! What is done to the processes, and the plan that a seed makes of it.

use std::fmt;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultClass {
    /// SIGKILL.
    WorkerKilled,
    /// SIGSTOP, and SIGCONT later.
    WorkerStopped,
    /// SIGTERM.
    WorkerTerminated,
    /// Its connections are cut, refused, or carry nothing for a while.
    WorkerCut,
    ServerKilled,
    ServerStopped,
    ServerTerminated,
    /// What the server says to the database, or hears from it, is cut or held up.
    ServerCut,
    DatabaseKilled,
    /// Shut down in order, and started again.
    DatabaseRestarted,
    DatabaseStopped,
    /// Statements fail, or commits are cut off, though the database is well.
    StatementsFailed,
    /// Strangers hold all connections that there may be.
    ConnectionsTaken,
    DiskFull,
    /// Some or all backends are terminated.
    BackendsEnded,
    /// A stranger holds a lock that the servers need.
    LockHeld,
    /// A stranger's transaction stays open.
    TransactionHeld,
    ClientCut,
}

impl fmt::Display for FaultClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = serde_json::to_value(self).map_err(|_| fmt::Error)?;
        f.write_str(word.as_str().unwrap_or_default())
    }
}

/// What a run's `seed.json` holds: enough to do the same again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub seed: u64,
    pub seconds: u64,
    /// Of the program under test, as it says itself.
    pub version: String,
    /// In the order of their times.
    pub faults: Vec<Planned>,
}

/// One fault, as planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// Since the workload began.
    pub after_ms: u64,
    pub for_ms: u64,
    pub fault: FaultClass,
    pub target: String,
}
