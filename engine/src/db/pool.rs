//! Units of database work. Each runs in a task of its own, and has a deadline.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::db::StoreError;
use crate::db::clock::DatabaseClock;
use crate::db::connections::{Connections, Held};
use crate::db::error::Stale;
use crate::db::gate::Gate;
use crate::db::opening::Opener;
use crate::db::url::DatabaseUrl;

/// A unit of work that runs.
pub type Work<'c, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'c>>;

/// Where work comes from. Each class bounds how many of its units run at a time, so that a burst of requests never takes the connections
/// that heartbeats, results and cancels need. A server admits calls by the same classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The engine itself, and workers' streams. Batches and credits bound these, so there is no bound here.
    Engine,
    /// Unary calls of workers, cancels and drains.
    Priority,
    /// All other requests.
    Normal,
}

/// How long a statement waits for a lock before it fails with `LockTimeout`: 2 s by default.
fn lock_timeout(deadline: Duration) -> Duration {
    deadline / 5
}

/// How long a batch of many callers waits for a lock before it goes around the locked row: 50 ms by default. All callers wait for as long.
fn batch_lock_timeout(deadline: Duration) -> Duration {
    (deadline / 200).max(Duration::from_millis(20))
}

/// How often a unit of work is run again in a new session, because its session did not fit the database any more.
const STALE_RETRIES: usize = 2;

/// How often a unit of work is run again after a conflict with another transaction (40001, 40P01).
const SERIALIZATION_RETRIES: usize = 4;

/// How long a unit of work waits for a connection. After that the database counts as away.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// How the server uses its database.
#[derive(Debug, Clone)]
pub struct DbSettings {
    pub max_connections: u32,
    /// The deadline of the wait for a connection, and again of the unit of work. A connection that misses it is discarded, so that a
    /// database that hangs counts as an outage.
    pub deadline: Duration,
}

/// How a unit of work is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Commit {
    /// It writes nothing, or nobody has to know whether it was committed.
    Nothing,
    /// It reads rows in the order of an index, and writes nothing.
    List,
    /// Its only statement commits itself.
    Statement,
    /// It is a transaction.
    Transaction,
    /// It is a transaction that waits for its turn.
    Turn,
    /// It is a transaction for many callers, and waits only briefly for a lock.
    Batch,
}

impl Commit {
    /// How its transaction begins, if it is one.
    fn begin(self, deadline: Duration) -> Option<AssertSqlSafe<String>> {
        // One message, so that the timeout costs no round trip of its own.
        let waits = |timeout: Duration| format!("BEGIN; SET LOCAL lock_timeout = {}", timeout.as_millis());
        let begin = match self {
            Commit::Nothing | Commit::Statement => return None,
            // Without statistics, a page of a list looks so small that reading all rows that match and sorting them seems cheap. With
            // these settings an index in the order of the list is the only plan, whatever the planner knows or believes.
            Commit::List => {
                "BEGIN READ ONLY; SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off".to_owned()
            }
            Commit::Transaction => "BEGIN".to_owned(),
            Commit::Turn => waits(Duration::from_millis(500)),
            Commit::Batch => waits(batch_lock_timeout(deadline)),
        };
        Some(AssertSqlSafe(begin))
    }
}

/// The engine's connections, and the units of work that use them.
///
/// Each unit of work runs in a task of its own, so a client that cancels its call does not stop the work midway. Otherwise the next unit
/// could get a connection with an open transaction. Work must not swallow errors of statements: the commit of an aborted transaction
/// looks like success.
#[derive(Debug, Clone)]
pub struct Db {
    connections: Arc<Connections>,
    /// The units of work that run.
    tracker: TaskTracker,
    /// The tasks that open connections, and the one that ends processes that were given up.
    opening: TaskTracker,
    _closing: Arc<DropGuard>,
    deadline: Duration,
    /// Whether the database did not answer the last unit of work.
    away: Arc<AtomicBool>,
    /// Bounds how many units of work run.
    gate: Option<Gate>,
    clock: DatabaseClock,
}

impl Db {
    /// Makes the pool. It opens connections when they are needed.
    pub fn new(url: &DatabaseUrl, settings: &DbSettings) -> Self {
        let deadline = settings.deadline;
        // Plans must not depend on statistics that lag: the statements of the hot path are right as nested loops over indexes, on an
        // empty table and on a huge one.
        //
        // The timeouts of locks and statements are shorter than the deadline, so that the database itself reports them. Neither is
        // mistaken for a database that does not answer.
        let session = format!(
            "SET ROLE ops_engine; \
             SET lock_timeout = {lock_ms}; \
             SET statement_timeout = {statement_ms}; \
             SET idle_in_transaction_session_timeout = {ms}; \
             SET plan_cache_mode = force_generic_plan; \
             SET enable_seqscan = off; \
             SET enable_hashjoin = off; \
             SET enable_mergejoin = off; \
             SET jit = off; \
             SET tcp_keepalives_idle = 60; \
             SET tcp_keepalives_interval = 10; \
             SET tcp_keepalives_count = 3; \
             SET timezone = 'UTC'",
            lock_ms = lock_timeout(deadline).as_millis(),
            statement_ms = (deadline * 9 / 10).as_millis(),
            ms = deadline.as_millis()
        );
        // One connection is the listener's.
        let units = settings.max_connections.saturating_sub(1).max(1) as usize;
        let connections = Arc::new(Connections::new(Opener::new(url.clone(), session), units));
        let (opening, closing) = (TaskTracker::new(), CancellationToken::new());
        opening.spawn(closing.clone().run_until_cancelled_owned(connections.abandoned.clone().end_each()));
        Self {
            connections,
            tracker: TaskTracker::new(),
            opening,
            _closing: Arc::new(closing.drop_guard()),
            deadline,
            away: Arc::default(),
            gate: None,
            clock: DatabaseClock::default(),
        }
    }

    /// The same database, for at most so many units of work at a time.
    pub fn bounded(&self, units: usize) -> Self {
        Self { gate: Some(Gate::new(units, self.away.clone())), ..self.clone() }
    }

    /// Runs statements that read, or that write without a transaction where nobody has to know whether they were committed.
    pub async fn read<I, T, W>(&self, input: I, work: W) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
        W: for<'c> Fn(&'c mut PgConnection, &'c I) -> Work<'c, T> + Send + Sync + 'static,
    {
        self.unit(input, work, Commit::Nothing).await
    }

    /// Runs statements that read rows in the order of an index. Their plans do not depend on statistics.
    pub async fn list<I, T, W>(&self, input: I, work: W) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
        W: for<'c> Fn(&'c mut PgConnection, &'c I) -> Work<'c, T> + Send + Sync + 'static,
    {
        self.unit(input, work, Commit::List).await
    }

    /// Runs one statement that writes and commits itself. Fails with [`StoreError::CommitUnknown`] if its answer was lost.
    pub async fn write<I, T, W>(&self, input: I, work: W) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
        W: for<'c> Fn(&'c mut PgConnection, &'c I) -> Work<'c, T> + Send + Sync + 'static,
    {
        self.unit(input, work, Commit::Statement).await
    }

    /// Runs a transaction: begins, works, commits. `Ok` means that it is committed.
    pub async fn transaction<I, T, W>(&self, input: I, work: W) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
        W: for<'c> Fn(&'c mut PgConnection, &'c I) -> Work<'c, T> + Send + Sync + 'static,
    {
        self.unit(input, work, Commit::Transaction).await
    }

    /// Runs a transaction that waits for its turn, or for another that somebody else holds. Fails with [`StoreError::LockTimeout`] if it
    /// does not come within 500 ms.
    pub async fn turn<I, T, W>(&self, input: I, work: W) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
        W: for<'c> Fn(&'c mut PgConnection, &'c I) -> Work<'c, T> + Send + Sync + 'static,
    {
        self.unit(input, work, Commit::Turn).await
    }

    /// Runs a transaction for many callers: begins, works, commits. Fails with [`StoreError::LockTimeout`] as soon as another transaction holds
    /// a lock for longer than all callers may wait.
    pub async fn batch<I, T, W>(&self, input: I, work: W) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
        W: for<'c> Fn(&'c mut PgConnection, &'c I) -> Work<'c, T> + Send + Sync + 'static,
    {
        self.unit(input, work, Commit::Batch).await
    }

    async fn unit<I, T, W>(&self, input: I, work: W, commit: Commit) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
        W: for<'c> Fn(&'c mut PgConnection, &'c I) -> Work<'c, T> + Send + Sync + 'static,
    {
        // A caller that goes away before this point ends its work. After it the work goes on without the caller.
        let pass = match &self.gate {
            Some(gate) => Some(gate.enter().await?),
            None => None,
        };
        let (db, away) = (self.clone(), self.away.clone());
        let task = self.tracker.spawn(async move {
            let _pass = pass;
            let (mut attempt, mut sessions) = (0, 0);
            loop {
                let result = db.attempt(&input, &work, commit, sessions > 0).await;
                away.store(result.as_ref().is_err_and(StoreError::is_outage), Ordering::Relaxed);
                match result {
                    Err(StoreError::Serialization(why)) if attempt < SERIALIZATION_RETRIES => {
                        attempt += 1;
                        tracing::debug!(%why, attempt, "a transaction is tried again");
                    }
                    // The statement has committed itself, and only its answer could not be read.
                    Err(error @ StoreError::Stale { kind: Stale::Answer, .. }) if commit == Commit::Statement => {
                        return Err(error.in_new_session());
                    }
                    Err(StoreError::Stale { why, .. }) if sessions < STALE_RETRIES => {
                        sessions += 1;
                        tracing::warn!(%why, sessions, "a session does not fit the database any more; the work is tried in a new one");
                        db.connections.forget();
                    }
                    result => return result.map_err(StoreError::in_new_session),
                }
            }
        });
        task.await.unwrap_or_else(|panic| Err(StoreError::defect(panic.to_string())))
    }

    /// Runs a unit of work once, in a new session if asked for.
    async fn attempt<I, T, W>(&self, input: &I, work: &W, commit: Commit, is_new: bool) -> Result<T, StoreError>
    where
        W: for<'c> Fn(&'c mut PgConnection, &'c I) -> Work<'c, T>,
    {
        let (mut held, deadline) = (self.connection(is_new).await?, self.deadline);
        let connection: &mut PgConnection = &mut held.connection;
        let mut committing = commit == Commit::Statement;
        let unit = async {
            let Some(begin) = commit.begin(deadline) else {
                return work(connection, input).await;
            };
            let mut transaction = connection.begin_with(begin).await?;
            match work(&mut transaction, input).await {
                Ok(value) => {
                    committing = commit != Commit::List;
                    transaction.commit().await?;
                    Ok(value)
                }
                Err(error) => {
                    if !error.is_outage() {
                        transaction.rollback().await?;
                    }
                    Err(error)
                }
            }
        };
        let result = match tokio::time::timeout(deadline, unit).await {
            Ok(result) => result,
            Err(_) => Err(StoreError::Unavailable(format!("no answer within {deadline:?}").into())),
        };
        match result {
            Err(StoreError::Unavailable(why)) => {
                // The state of the connection is not known, so no other unit may get it.
                self.connections.abandon(held);
                Err(if committing { StoreError::CommitUnknown(why) } else { StoreError::Unavailable(why) })
            }
            result @ Err(StoreError::Stale { .. }) => result,
            result => {
                self.connections.keep(held);
                result
            }
        }
    }

    /// A connection that was just used, or else another or a new one. A task of its own waits for it, and outlives this call.
    async fn connection(&self, is_new: bool) -> Result<Held, StoreError> {
        if !is_new && let Some(held) = self.connections.take() {
            return Ok(held);
        }
        let ((sender, receiver), connections) = (oneshot::channel(), self.connections.clone());
        self.opening.spawn(async move {
            let acquired = connections.acquire(is_new).await;
            if let Err(Ok(held)) = sender.send(acquired) {
                connections.keep(held);
            }
        });
        let timeout = self.deadline.min(ACQUIRE_TIMEOUT);
        match tokio::time::timeout(timeout, receiver).await {
            Ok(Ok(acquired)) => acquired,
            Ok(Err(_)) => Err(StoreError::defect("the task that opens a connection ended")),
            Err(_) => {
                let why = self.connections.opener.failure();
                Err(StoreError::Unavailable(why.unwrap_or_else(|| format!("no connection within {timeout:?}").into())))
            }
        }
    }

    /// Why the last connection was not opened. `None` if it was.
    pub fn unopened(&self) -> Option<Arc<str>> {
        self.connections.opener.failure()
    }

    /// The clock of the database.
    pub fn clock(&self) -> &DatabaseClock {
        &self.clock
    }

    /// How long a statement waits for a lock.
    pub fn lock_timeout(&self) -> Duration {
        lock_timeout(self.deadline)
    }

    /// How long a statement of a batch waits for a lock.
    pub fn batch_lock_timeout(&self) -> Duration {
        batch_lock_timeout(self.deadline)
    }

    /// Why this database can not be used at all, whatever its state. `None` also if it can not be asked.
    pub async fn unusable(&self) -> Option<String> {
        self.connections.opener.unusable().await
    }

    /// A connection for a caller that manages its own: with the rights of the login, and without the settings of the others.
    pub async fn open_plain(&self) -> Result<PgConnection, StoreError> {
        self.connections.opener.open_plain().await
    }

    /// The number of connections that were opened. Each may lead to another database than those before.
    pub fn opened(&self) -> u64 {
        self.connections.opener.opened()
    }

    /// How to reach the server that accepted the last connection, and its number.
    pub(super) fn server(&self) -> (PgConnectOptions, usize) {
        let number = self.connections.opener.server();
        (self.connections.opener.options(), number)
    }

    /// The most connections that there are at a time.
    pub fn max_connections(&self) -> usize {
        self.connections.max() + 1
    }

    /// How many connections are open, and how many of these are idle.
    pub fn connections(&self) -> (usize, usize) {
        self.connections.counts()
    }

    /// How many processes of the database were given up and may not have ended, and how many were ever given up.
    pub fn abandoned(&self) -> (usize, u64) {
        (self.connections.abandoned.count(), self.connections.abandoned.total())
    }

    /// Gives back the memory that large messages took in idle connections.
    pub fn shrink(&self) {
        self.connections.shrink();
    }

    /// The number of units of work that run, or wait for a connection.
    pub fn units(&self) -> usize {
        self.tracker.len()
    }

    /// Waits for the units of work that run, then closes the connections.
    pub async fn close(&self) {
        self.tracker.close();
        self.tracker.wait().await;
        self.connections.close().await;
    }
}
