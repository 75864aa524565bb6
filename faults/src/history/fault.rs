//! The classes of faults, and the plan of a run.

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
    /// Its connections to the database are cut or held up.
    ServerCut,
    DatabaseKilled,
    /// Shut down, and started again.
    DatabaseRestarted,
    DatabaseStopped,
    /// Commits wait for a synchronous standby that is gone.
    CommitsHeld,
    /// Statements fail, or connections break at a COMMIT, although the database is up.
    StatementsFailed,
    /// Foreign sessions hold all connections.
    ConnectionsTaken,
    DiskFull,
    /// Some or all backends are terminated.
    BackendsEnded,
    /// A foreign transaction holds a lock that the servers need.
    LockHeld,
    /// A foreign transaction stays open.
    TransactionHeld,
    ClientCut,
    /// The clock of the database goes back.
    ClockSetBack,
}

impl fmt::Display for FaultClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = serde_json::to_value(self).map_err(|_| fmt::Error)?;
        f.write_str(word.as_str().unwrap_or_default())
    }
}

/// The plan of a run (`seed.json`), enough to repeat it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub seed: u64,
    pub seconds: u64,
    /// The version of the program under test.
    pub version: String,
    /// In the order of their times.
    pub faults: Vec<Planned>,
}

/// One fault of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// Since the start of the load.
    pub after_ms: u64,
    pub for_ms: u64,
    pub fault: FaultClass,
    pub target: String,
}
