//! Units of database work. Each runs in a task of its own, and has a deadline.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio_util::task::TaskTracker;

use crate::db::StoreError;
use crate::db::clock::DatabaseClock;
use crate::db::gate::Gate;
use crate::db::parameters::known;
use crate::db::warm::{TRUSTED_IDLE, Waiting, Warm, Warmed};

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

/// How often a unit of work is run again after a conflict with another transaction (40001, 40P01).
const SERIALIZATION_RETRIES: usize = 4;

/// How long a unit of work waits for a connection. After that the database counts as away.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long opening a connection may take. Opening outlives its caller; the next caller uses the connection. Otherwise a database
/// that takes longer than [`ACQUIRE_TIMEOUT`] would never be reached.
const OPENING_TIMEOUT: Duration = Duration::from_secs(4);

/// A connection that misses this ping timeout is dead.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// Where a database is.
#[derive(Clone)]
pub struct DatabaseUrl(pub(crate) PgConnectOptions);

/// Without the password.
impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({}:{})", self.0.get_host(), self.0.get_port())
    }
}

impl DatabaseUrl {
    /// Reads a `postgres://` URL. The error says what is wrong with it.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (url, unknown) = known(url);
        for parameter in unknown {
            tracing::warn!(parameter, "a parameter of the database's URL is not known, and ignored");
        }
        let mut options = PgConnectOptions::from_str(&url).map_err(|error| error.to_string())?;
        // There is no TLS on a socket of this machine, whatever PGSSLMODE says.
        if options.get_socket().is_some() || options.get_host().starts_with('/') {
            options = options.ssl_mode(PgSslMode::Disable);
        }
        // PgBouncer refuses this setting at the start of a connection, and PostgreSQL's default is as precise.
        Ok(Self(options.extra_float_digits(None)))
    }

    pub fn options(&self) -> &PgConnectOptions {
        &self.0
    }
}

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

/// The pool of the engine's connections.
///
/// Each unit of work runs in a task of its own, so a client that cancels its call does not stop the work midway. Otherwise the next unit
/// could get a connection with an open transaction. Work must not swallow errors of statements: the commit of an aborted transaction
/// looks like success.
#[derive(Debug, Clone)]
pub struct Db {
    pool: PgPool,
    /// The units of work that run.
    tracker: TaskTracker,
    /// The tasks that open connections.
    opening: TaskTracker,
    /// Connections that were just used.
    warm: Warm,
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
             SET timezone = 'UTC'",
            lock_ms = lock_timeout(deadline).as_millis(),
            statement_ms = (deadline * 9 / 10).as_millis(),
            ms = deadline.as_millis()
        );
        let pool = PgPoolOptions::new()
            .max_connections(settings.max_connections)
            .acquire_timeout(OPENING_TIMEOUT)
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    // After a restart of the database all connections are dead, and only a ping shows it.
                    if meta.idle_for <= TRUSTED_IDLE {
                        return Ok(true);
                    }
                    let ping = tokio::time::timeout(PING_TIMEOUT, connection.ping());
                    ping.await.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut)).map(|()| true)
                })
            })
            .after_connect(move |connection, _| {
                let session = sqlx::AssertSqlSafe(session.clone());
                Box::pin(async move { sqlx::raw_sql(session).execute(connection).await.map(drop) })
            })
            .after_release(|connection, _| {
                // The buffers have grown to the largest message so far, and stay so otherwise. A connection comes back to the pool when it
                // is idle, so this is rare.
                connection.shrink_buffers();
                Box::pin(async { Ok(true) })
            })
            .connect_lazy_with(url.0.clone().application_name("ops"));
        Self {
            pool,
            tracker: TaskTracker::new(),
            opening: TaskTracker::new(),
            warm: Warm::default(),
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
            let mut attempt = 0;
            loop {
                let result = db.attempt(&input, &work, commit).await;
                away.store(result.as_ref().is_err_and(StoreError::is_outage), Ordering::Relaxed);
                match result {
                    Err(StoreError::Serialization(why)) if attempt < SERIALIZATION_RETRIES => {
                        attempt += 1;
                        tracing::debug!(%why, attempt, "a transaction is tried again");
                    }
                    result => return result,
                }
            }
        });
        task.await.unwrap_or_else(|panic| Err(StoreError::defect(panic.to_string())))
    }

    /// Runs a unit of work once.
    async fn attempt<I, T, W>(&self, input: &I, work: &W, commit: Commit) -> Result<T, StoreError>
    where
        W: for<'c> Fn(&'c mut PgConnection, &'c I) -> Work<'c, T>,
    {
        let (mut warmed, deadline) = (self.connection().await?, self.deadline);
        let connection: &mut PgConnection = &mut warmed.connection;
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
                drop(warmed.connection.detach());
                Err(if committing { StoreError::CommitUnknown(why) } else { StoreError::Unavailable(why) })
            }
            result => {
                self.warm.keep(warmed);
                result
            }
        }
    }

    /// A connection that was just used, or else one from the pool. A task of its own waits for the pool, and outlives this call.
    async fn connection(&self) -> Result<Warmed, StoreError> {
        if let Some(warmed) = self.warm.take() {
            return Ok(warmed);
        }
        let (pool, waiting) = (self.pool.clone(), self.warm.waiting());
        let opening = self.opening.spawn(async move {
            let _waiting = waiting;
            pool.acquire().await.map(Warmed::new)
        });
        let timeout = self.deadline.min(ACQUIRE_TIMEOUT);
        match tokio::time::timeout(timeout, opening).await {
            Ok(Ok(connection)) => Ok(connection?),
            Ok(Err(panic)) => Err(StoreError::defect(panic.to_string())),
            Err(_) => Err(StoreError::Unavailable(format!("no connection within {timeout:?}").into())),
        }
    }

    /// Announces a wait for the pool by a caller that takes its connection elsewhere.
    pub(super) fn waiting(&self) -> Waiting {
        self.warm.waiting()
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

    /// The most connections that the pool has.
    pub fn max_connections(&self) -> usize {
        self.pool.options().get_max_connections() as usize
    }

    /// The number of units of work that run, or wait for a connection.
    pub fn units(&self) -> usize {
        self.tracker.len()
    }

    /// The pool, for callers that manage their own connections.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Waits for the units of work that run, then closes the connections.
    pub async fn close(&self) {
        self.tracker.close();
        self.tracker.wait().await;
        self.warm.clear();
        self.pool.close().await;
    }
}
