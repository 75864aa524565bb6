//! The kinds of faults: the action, the target and the duration of each.

use std::fmt;
use std::ops::Range;

use clap::ValueEnum;

use crate::history::FaultClass;

/// A kind of fault. The order counts: seeds choose by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub enum Fault {
    /// A server is killed (SIGKILL), and started again
    ServerKill,
    /// A server is killed while a foreign lock holds up its writes
    ServerKillLocked,
    /// A server hangs (SIGSTOP), and resumes
    ServerStop,
    /// A server shuts down (SIGTERM), and is started again
    ServerTerminate,
    /// A worker is killed, and another one is started
    WorkerKill,
    /// A worker hangs, perhaps longer than its lease, and resumes as a zombie
    WorkerStop,
    /// A worker shuts down, and another one is started
    WorkerTerminate,
    /// The connections of a worker are cut again and again
    WorkerCut,
    /// All servers refuse the connections of a worker
    WorkerRefuse,
    /// Nothing passes between a worker and the servers, and later all of it arrives
    WorkerSplit,
    /// A worker reaches the servers, but their answers do not arrive
    WorkerDeaf,
    /// The servers reach a worker, but its messages do not arrive
    WorkerMute,
    /// Messages between a worker and the servers are lost, and neither side notices
    WorkerHalfOpen,
    /// Messages between a worker and the servers are slow
    WorkerSlow,
    /// The request of a worker arrives, the response does not, and then the connection is cut
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
    /// The connections of one server to PostgreSQL are cut again and again
    LinkCut,
    /// PostgreSQL refuses the connections of one server
    LinkRefuse,
    /// Nothing passes between one server and PostgreSQL, and later all of it arrives
    LinkSplit,
    /// One server reaches PostgreSQL, but the answers do not arrive
    LinkDeaf,
    /// PostgreSQL reaches one server, but its statements do not arrive
    LinkMute,
    /// Messages between one server and PostgreSQL are lost, and neither side notices
    LinkHalfOpen,
    /// Messages between one server and PostgreSQL are slow
    LinkSlow,
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
    /// PostgreSQL is killed while a foreign lock holds up writes
    DatabaseKillLocked,
    /// PostgreSQL is shut down fast, and started again
    DatabaseRestart,
    /// PostgreSQL hangs with all its processes
    DatabaseStop,
    /// The synchronous standby is gone: commits wait for it
    StandbyGone,
    /// PostgreSQL ends the sessions of the servers
    BackendsEnd,
    /// The file system of PostgreSQL is full
    DiskFull,
    /// Foreign sessions hold all connections
    ConnectionsTaken,
    /// A foreign transaction locks a whole table
    TableLocked,
    /// A foreign transaction locks runs that have not ended
    RunsLocked,
    /// A foreign transaction locks sessions
    SessionsLocked,
    /// A foreign transaction stays open
    TransactionHeld,
    /// A foreign transaction locks runs in another order, so that servers lose deadlocks
    Deadlock,
    /// The clock of PostgreSQL goes back by up to two hours, and stays there
    ClockSetBack,
}

/// The target of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Target {
    Server,
    Worker,
    Client,
    /// The connections of one server to the database.
    DatabaseLink,
    Database,
}

/// The action of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// SIGKILL to a process.
    Kill,
    /// SIGSTOP to a process.
    Stop,
    /// SIGTERM to a process.
    Terminate,
    /// To the connections of the target.
    Network(NetworkFault),
    /// At a statement of a server.
    Sql(SqlFault),
    /// SIGKILL to a process while a foreign lock holds up its writes.
    KillLocked,
    /// To the processes of PostgreSQL.
    KillDatabase,
    RestartDatabase,
    StopDatabase,
    KillDatabaseLocked,
    /// Commits wait for a standby that does not exist.
    LoseStandby,
    /// To the file system of PostgreSQL.
    FillDisk,
    /// By a foreign session, which is no server's.
    Foreign(ForeignSession),
    SetClockBack,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NetworkFault {
    Cut,
    Refuse,
    Split,
    Deaf,
    Mute,
    HalfOpen,
    Slow,
    Unanswered,
}

/// The point at which a connection to PostgreSQL breaks, or the step that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SqlFault {
    BeforeCommit,
    AfterCommit,
    Statement,
    Startup,
}

/// The action of a foreign session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ForeignSession {
    EndsBackends,
    TakesConnections,
    LocksTable,
    LocksRuns,
    LocksSessions,
    HoldsTransaction,
    Deadlocks,
}

impl Action {
    /// Whether PostgreSQL answers no client during the fault, and nothing else is disturbed.
    pub(super) fn ends_postgres(self) -> bool {
        matches!(self, Action::KillDatabase | Action::RestartDatabase | Action::StopDatabase)
    }
}

impl Fault {
    pub(super) fn target(self) -> Target {
        match self.class() {
            FaultClass::ServerKilled | FaultClass::ServerStopped | FaultClass::ServerTerminated => Target::Server,
            FaultClass::WorkerKilled
            | FaultClass::WorkerStopped
            | FaultClass::WorkerTerminated
            | FaultClass::WorkerCut => Target::Worker,
            FaultClass::ClientCut => Target::Client,
            FaultClass::ServerCut | FaultClass::StatementsFailed => Target::DatabaseLink,
            FaultClass::DatabaseKilled
            | FaultClass::DatabaseRestarted
            | FaultClass::DatabaseStopped
            | FaultClass::CommitsHeld
            | FaultClass::BackendsEnded
            | FaultClass::ConnectionsTaken
            | FaultClass::DiskFull
            | FaultClass::LockHeld
            | FaultClass::TransactionHeld
            | FaultClass::ClockSetBack => Target::Database,
        }
    }

    pub(super) fn action(self) -> Action {
        match self {
            Fault::ServerKill | Fault::WorkerKill => Action::Kill,
            Fault::ServerStop | Fault::WorkerStop => Action::Stop,
            Fault::ServerTerminate | Fault::WorkerTerminate => Action::Terminate,
            Fault::WorkerCut | Fault::ClientCut | Fault::LinkCut => Action::Network(NetworkFault::Cut),
            Fault::WorkerRefuse | Fault::ClientRefuse | Fault::LinkRefuse => Action::Network(NetworkFault::Refuse),
            Fault::WorkerSplit | Fault::ClientSplit | Fault::LinkSplit => Action::Network(NetworkFault::Split),
            Fault::WorkerDeaf | Fault::ClientDeaf | Fault::LinkDeaf => Action::Network(NetworkFault::Deaf),
            Fault::WorkerMute | Fault::ClientMute | Fault::LinkMute => Action::Network(NetworkFault::Mute),
            Fault::WorkerHalfOpen | Fault::ClientHalfOpen | Fault::LinkHalfOpen => {
                Action::Network(NetworkFault::HalfOpen)
            }
            Fault::WorkerSlow | Fault::ClientSlow | Fault::LinkSlow => Action::Network(NetworkFault::Slow),
            Fault::WorkerUnanswered | Fault::ClientUnanswered => Action::Network(NetworkFault::Unanswered),
            Fault::CommitLost => Action::Sql(SqlFault::BeforeCommit),
            Fault::CommitUnanswered => Action::Sql(SqlFault::AfterCommit),
            Fault::StatementFail => Action::Sql(SqlFault::Statement),
            Fault::StartupFail => Action::Sql(SqlFault::Startup),
            Fault::ServerKillLocked => Action::KillLocked,
            Fault::DatabaseKillLocked => Action::KillDatabaseLocked,
            Fault::DiskFull => Action::FillDisk,
            Fault::DatabaseKill => Action::KillDatabase,
            Fault::DatabaseRestart => Action::RestartDatabase,
            Fault::DatabaseStop => Action::StopDatabase,
            Fault::StandbyGone => Action::LoseStandby,
            Fault::BackendsEnd => Action::Foreign(ForeignSession::EndsBackends),
            Fault::ConnectionsTaken => Action::Foreign(ForeignSession::TakesConnections),
            Fault::TableLocked => Action::Foreign(ForeignSession::LocksTable),
            Fault::RunsLocked => Action::Foreign(ForeignSession::LocksRuns),
            Fault::SessionsLocked => Action::Foreign(ForeignSession::LocksSessions),
            Fault::TransactionHeld => Action::Foreign(ForeignSession::HoldsTransaction),
            Fault::Deadlock => Action::Foreign(ForeignSession::Deadlocks),
            Fault::ClockSetBack => Action::SetClockBack,
        }
    }

    /// How long it lasts, in milliseconds: shorter and longer than leases, deadlines and retry budgets.
    pub(super) fn lasts(self) -> Range<u64> {
        match self.action() {
            Action::Kill | Action::Terminate | Action::KillLocked => 100..6_000,
            Action::Stop | Action::StopDatabase => 500..9_000,
            Action::KillDatabase | Action::RestartDatabase | Action::KillDatabaseLocked => 100..9_000,
            Action::LoseStandby => 500..14_000,
            Action::Network(_) => 300..8_000,
            Action::Sql(_) => 500..4_000,
            Action::Foreign(_) | Action::FillDisk => 500..6_000,
            // It lasts until the run ends; this is the time until the next fault of the database.
            Action::SetClockBack => 500..3_000,
        }
    }

    /// The class by which the checker knows it.
    pub(super) fn class(self) -> FaultClass {
        match (self, self.action()) {
            (Fault::ServerKill | Fault::ServerKillLocked, _) => FaultClass::ServerKilled,
            (Fault::ServerStop, _) => FaultClass::ServerStopped,
            (Fault::ServerTerminate, _) => FaultClass::ServerTerminated,
            (_, Action::Kill | Action::KillLocked) => FaultClass::WorkerKilled,
            (_, Action::Stop) => FaultClass::WorkerStopped,
            (_, Action::Terminate) => FaultClass::WorkerTerminated,
            (it, Action::Network(_)) if it >= Fault::LinkCut => FaultClass::ServerCut,
            (it, Action::Network(_)) if it >= Fault::ClientCut => FaultClass::ClientCut,
            (_, Action::Network(_)) => FaultClass::WorkerCut,
            (_, Action::Sql(_)) => FaultClass::StatementsFailed,
            (_, Action::KillDatabase | Action::KillDatabaseLocked) => FaultClass::DatabaseKilled,
            (_, Action::RestartDatabase) => FaultClass::DatabaseRestarted,
            (_, Action::StopDatabase) => FaultClass::DatabaseStopped,
            (_, Action::LoseStandby) => FaultClass::CommitsHeld,
            (_, Action::FillDisk) => FaultClass::DiskFull,
            (_, Action::Foreign(ForeignSession::EndsBackends)) => FaultClass::BackendsEnded,
            (_, Action::Foreign(ForeignSession::TakesConnections)) => FaultClass::ConnectionsTaken,
            (_, Action::Foreign(ForeignSession::HoldsTransaction)) => FaultClass::TransactionHeld,
            (_, Action::Foreign(_)) => FaultClass::LockHeld,
            (_, Action::SetClockBack) => FaultClass::ClockSetBack,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}
