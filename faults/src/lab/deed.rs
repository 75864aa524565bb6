//! What can be done to the house, and to whom.

use std::fmt;
use std::ops::Range;

use clap::ValueEnum;

use crate::history::Fault;

/// One kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub enum Deed {
    /// A server is killed (SIGKILL), and started again
    ServerKill,
    /// A server is killed while a stranger's lock holds up what it writes
    ServerKillLocked,
    /// A server hangs (SIGSTOP), and goes on
    ServerStop,
    /// A server is told to shut down (SIGTERM), and started again
    ServerAsk,
    /// A worker is killed, and another one started
    WorkerKill,
    /// A worker hangs, perhaps longer than its lease, and goes on as a zombie
    WorkerStop,
    /// A worker is told to leave, and another one started
    WorkerAsk,
    /// A worker's connections are cut, again and again
    WorkerCut,
    /// A worker is refused by all servers
    WorkerRefuse,
    /// Between a worker and the servers nothing passes, and then all of it
    WorkerSplit,
    /// A worker is heard by the servers, and does not hear them
    WorkerDeaf,
    /// A worker hears the servers, and is not heard
    WorkerMute,
    /// What a worker and the servers say to each other is lost, and neither is told
    WorkerHalfOpen,
    /// All between a worker and the servers takes its time
    WorkerSlow,
    /// What a worker says arrives, and the answer does not, and then the connection is cut
    WorkerUnanswered,
    /// As for workers, for a client or watcher
    ClientCut,
    /// As for workers
    ClientRefuse,
    /// As for workers
    ClientSplit,
    /// As for workers
    ClientDeaf,
    /// As for workers
    ClientMute,
    /// As for workers
    ClientHalfOpen,
    /// As for workers
    ClientSlow,
    /// As for workers
    ClientUnanswered,
    /// The connections of one server to PostgreSQL are cut, again and again
    LineCut,
    /// One server is refused by PostgreSQL
    LineRefuse,
    /// Between one server and PostgreSQL nothing passes, and then all of it
    LineSplit,
    /// One server is heard by PostgreSQL, and does not hear it
    LineDeaf,
    /// One server hears PostgreSQL, and is not heard
    LineMute,
    /// What one server and PostgreSQL say to each other is lost, and neither is told
    LineHalfOpen,
    /// All between one server and PostgreSQL takes its time
    LineSlow,
    /// Connections are cut exactly before a COMMIT
    CommitLost,
    /// Connections are cut exactly after a COMMIT was executed
    CommitUnanswered,
    /// Statements fail: deadlock, serialization failure, lock not available, disk full
    StatementFail,
    /// New sessions are refused: too many clients, starting up
    StartupFail,
    /// PostgreSQL is killed with all its processes, and started again
    DatabaseKill,
    /// PostgreSQL is killed while a stranger's lock holds up what is written
    DatabaseKillLocked,
    /// PostgreSQL is shut down fast, and started again
    DatabaseRestart,
    /// PostgreSQL hangs with all its processes
    DatabaseStop,
    /// PostgreSQL ends the sessions of the servers
    BackendsEnd,
    /// The file system of PostgreSQL is full
    DiskFull,
    /// Strangers hold all connections
    ConnectionsTaken,
    /// A stranger locks a whole table
    TableLocked,
    /// A stranger locks runs that have not ended
    RunsLocked,
    /// A stranger locks sessions
    SessionsLocked,
    /// A stranger's transaction stays open
    TransactionHeld,
    /// A stranger locks runs in the wrong order, so that servers lose deadlocks
    Deadlock,
}

/// Who can be the target of a deed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Aim {
    Server,
    Worker,
    Client,
    /// The line of one server to the database.
    Line,
    Database,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// To a process.
    Kill,
    Stop,
    Ask,
    /// To the lines of somebody.
    Network(Trouble),
    /// To what a server says to the database.
    Snare(Snare),
    /// To a process, while a stranger's lock holds up what is written.
    KillLocked,
    /// To PostgreSQL's processes.
    KillDatabase,
    RestartDatabase,
    StopDatabase,
    KillDatabaseLocked,
    /// To its file system.
    FillDisk,
    /// By somebody with a session of his own.
    Stranger(Stranger),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    Cut,
    Refuse,
    Split,
    Deaf,
    Mute,
    HalfOpen,
    Slow,
    Unanswered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Snare {
    BeforeCommit,
    AfterCommit,
    Statement,
    Startup,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stranger {
    EndsBackends,
    TakesConnections,
    LocksTable,
    LocksRuns,
    LocksSessions,
    HoldsTransaction,
    Deadlocks,
}

impl Deed {
    pub(super) fn aim(self) -> Aim {
        match self.fault() {
            Fault::ServerKilled | Fault::ServerStopped | Fault::ServerAsked => Aim::Server,
            Fault::WorkerKilled | Fault::WorkerStopped | Fault::WorkerAsked | Fault::WorkerCut => Aim::Worker,
            Fault::ClientCut => Aim::Client,
            Fault::ServerCut | Fault::StatementsFailed => Aim::Line,
            Fault::DatabaseKilled
            | Fault::DatabaseRestarted
            | Fault::DatabaseStopped
            | Fault::BackendsEnded
            | Fault::ConnectionsTaken
            | Fault::DiskFull
            | Fault::LockHeld
            | Fault::TransactionHeld => Aim::Database,
        }
    }

    pub(super) fn act(self) -> Act {
        match self {
            Deed::ServerKill | Deed::WorkerKill => Act::Kill,
            Deed::ServerStop | Deed::WorkerStop => Act::Stop,
            Deed::ServerAsk | Deed::WorkerAsk => Act::Ask,
            Deed::WorkerCut | Deed::ClientCut | Deed::LineCut => Act::Network(Trouble::Cut),
            Deed::WorkerRefuse | Deed::ClientRefuse | Deed::LineRefuse => Act::Network(Trouble::Refuse),
            Deed::WorkerSplit | Deed::ClientSplit | Deed::LineSplit => Act::Network(Trouble::Split),
            Deed::WorkerDeaf | Deed::ClientDeaf | Deed::LineDeaf => Act::Network(Trouble::Deaf),
            Deed::WorkerMute | Deed::ClientMute | Deed::LineMute => Act::Network(Trouble::Mute),
            Deed::WorkerHalfOpen | Deed::ClientHalfOpen | Deed::LineHalfOpen => Act::Network(Trouble::HalfOpen),
            Deed::WorkerSlow | Deed::ClientSlow | Deed::LineSlow => Act::Network(Trouble::Slow),
            Deed::WorkerUnanswered | Deed::ClientUnanswered => Act::Network(Trouble::Unanswered),
            Deed::CommitLost => Act::Snare(Snare::BeforeCommit),
            Deed::CommitUnanswered => Act::Snare(Snare::AfterCommit),
            Deed::StatementFail => Act::Snare(Snare::Statement),
            Deed::StartupFail => Act::Snare(Snare::Startup),
            Deed::ServerKillLocked => Act::KillLocked,
            Deed::DatabaseKillLocked => Act::KillDatabaseLocked,
            Deed::DiskFull => Act::FillDisk,
            Deed::DatabaseKill => Act::KillDatabase,
            Deed::DatabaseRestart => Act::RestartDatabase,
            Deed::DatabaseStop => Act::StopDatabase,
            Deed::BackendsEnd => Act::Stranger(Stranger::EndsBackends),
            Deed::ConnectionsTaken => Act::Stranger(Stranger::TakesConnections),
            Deed::TableLocked => Act::Stranger(Stranger::LocksTable),
            Deed::RunsLocked => Act::Stranger(Stranger::LocksRuns),
            Deed::SessionsLocked => Act::Stranger(Stranger::LocksSessions),
            Deed::TransactionHeld => Act::Stranger(Stranger::HoldsTransaction),
            Deed::Deadlock => Act::Stranger(Stranger::Deadlocks),
        }
    }

    /// How long it lasts, in milliseconds: shorter and longer than leases, deadlines and patience.
    pub(super) fn lasts(self) -> Range<u64> {
        match self.act() {
            Act::Kill | Act::Ask | Act::KillLocked => 100..6_000,
            Act::Stop | Act::StopDatabase => 500..9_000,
            Act::KillDatabase | Act::RestartDatabase | Act::KillDatabaseLocked => 100..9_000,
            Act::Network(_) => 300..8_000,
            Act::Snare(_) => 500..4_000,
            Act::Stranger(_) | Act::FillDisk => 500..6_000,
        }
    }

    /// What the checker knows it as.
    pub(super) fn fault(self) -> Fault {
        match (self, self.act()) {
            (Deed::ServerKill | Deed::ServerKillLocked, _) => Fault::ServerKilled,
            (Deed::ServerStop, _) => Fault::ServerStopped,
            (Deed::ServerAsk, _) => Fault::ServerAsked,
            (_, Act::Kill | Act::KillLocked) => Fault::WorkerKilled,
            (_, Act::Stop) => Fault::WorkerStopped,
            (_, Act::Ask) => Fault::WorkerAsked,
            (it, Act::Network(_)) if it >= Deed::LineCut => Fault::ServerCut,
            (it, Act::Network(_)) if it >= Deed::ClientCut => Fault::ClientCut,
            (_, Act::Network(_)) => Fault::WorkerCut,
            (_, Act::Snare(_)) => Fault::StatementsFailed,
            (_, Act::KillDatabase | Act::KillDatabaseLocked) => Fault::DatabaseKilled,
            (_, Act::RestartDatabase) => Fault::DatabaseRestarted,
            (_, Act::StopDatabase) => Fault::DatabaseStopped,
            (_, Act::FillDisk) => Fault::DiskFull,
            (_, Act::Stranger(Stranger::EndsBackends)) => Fault::BackendsEnded,
            (_, Act::Stranger(Stranger::TakesConnections)) => Fault::ConnectionsTaken,
            (_, Act::Stranger(Stranger::HoldsTransaction)) => Fault::TransactionHeld,
            (_, Act::Stranger(_)) => Fault::LockHeld,
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}
