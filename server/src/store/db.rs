//! Units of database work: each in a task of its own, each with a deadline.

use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection, PgConnection};
use tokio_util::task::TaskTracker;

use super::StoreError;
use super::gate::Gate;
use super::warm::{TRUSTED_IDLE, Waiting, Warm, Warmed};

/// What a unit of work returns.
pub type Work<'c, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'c>>;

/// How long a statement waits for a lock before it fails with `LockTimeout`: 2 s by default.
fn lock_timeout(deadline: Duration) -> Duration {
    deadline / 5
}

/// How often a unit of work that met another transaction (40001, 40P01) is run again.
const SERIALIZATION_RETRIES: usize = 4;

/// How long to wait for a connection: whoever waits longer is told that the database is away.
const ACQUIRE_PATIENCE: Duration = Duration::from_secs(2);

/// How long opening a connection may take. It goes on when who asked for it has lost patience, and serves the next: else a
/// database that takes longer than that patience would never be reached.
const OPENING_PATIENCE: Duration = Duration::from_secs(4);

/// One that does not say so in this time is not.
const PING_PATIENCE: Duration = Duration::from_secs(1);

/// Where a database is.
#[derive(Debug, Clone)]
pub struct DatabaseUrl(pub(crate) PgConnectOptions);

impl DatabaseUrl {
    /// Of a `postgres://` URL; or what is wrong with it.
    pub fn parse(url: &str) -> Result<Self, String> {
        PgConnectOptions::from_str(url).map(Self).map_err(|error| error.to_string())
    }
}

/// How the server uses its database.
#[derive(Debug, Clone)]
pub struct DbSettings {
    pub max_connections: u32,
    /// For a connection from the pool, then for a whole unit of work. A connection that misses it is discarded, so that
    /// a hung database is an outage and not a hang.
    pub deadline: Duration,
}

/// When a unit of work is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Commits {
    /// Each statement by itself, and nobody has to know which were.
    Each,
    /// By its only statement.
    Itself,
    /// As a transaction.
    AtItsEnd,
    /// As a transaction that waits for others of its kind, but not long.
    InTurn,
}

impl Commits {
    /// How its transaction begins, if it is one.
    fn begin(self) -> Option<&'static str> {
        match self {
            Commits::Each | Commits::Itself => None,
            Commits::AtItsEnd => Some("BEGIN"),
            // One message: it costs no round trip of its own.
            Commits::InTurn => Some("BEGIN; SET LOCAL lock_timeout = '500ms'"),
        }
    }
}

/// The pool of the engine's connections.
///
/// Each unit of work runs in a task of its own: a call that its client cancels does not drop it midway, which could hand a
/// connection with an open transaction to the next borrower. Work must not swallow errors of statements, since a commit
/// of an aborted transaction looks like success.
#[derive(Debug, Clone)]
pub struct Db {
    pool: PgPool,
    /// The units of work that run.
    tracker: TaskTracker,
    /// Those that open connections.
    opening: TaskTracker,
    /// Connections that were just used.
    warm: Warm,
    deadline: Duration,
    /// Whether the database did not answer the last unit of work.
    away: Arc<AtomicBool>,
    /// Where units of work wait for their turn, if they do not go first.
    gate: Option<Gate>,
}

impl Db {
    /// Makes the pool; connections are opened when first needed.
    pub fn new(url: &DatabaseUrl, settings: &DbSettings) -> Self {
        let deadline = settings.deadline;
        // Plans must not depend on what the statistics happened to be: the hot path's statements are right as nested loops
        // over indexes, on an empty table and on a huge one.
        //
        // Within the deadline the database says itself what a unit of work waited for: a lock, or a statement that takes long. So
        // neither is taken for a database that does not answer.
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
            .acquire_timeout(OPENING_PATIENCE)
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    // After a restart of the database all connections are dead, and none of them knows.
                    if meta.idle_for <= TRUSTED_IDLE {
                        return Ok(true);
                    }
                    let ping = tokio::time::timeout(PING_PATIENCE, connection.ping());
                    ping.await.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut)).map(|()| true)
                })
            })
            .after_connect(move |connection, _| {
                let session = sqlx::AssertSqlSafe(session.clone());
                Box::pin(async move { sqlx::raw_sql(session).execute(connection).await.map(drop) })
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
        }
    }

    /// The same for another kind of callers, of whose units of work so many run at a time.
    pub fn gated(&self, units: usize) -> Self {
        Self { gate: Some(Gate::new(units, self.away.clone())), ..self.clone() }
    }

    /// Runs one statement, or several that need not be one transaction.
    pub async fn run<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: for<'c> Fn(&'c mut PgConnection) -> Work<'c, T> + Send + Sync + 'static,
    {
        self.unit(work, Commits::Each).await
    }

    /// Runs one statement that writes and is committed by itself. If its answer is lost, it may have happened or not.
    pub async fn statement<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: for<'c> Fn(&'c mut PgConnection) -> Work<'c, T> + Send + Sync + 'static,
    {
        self.unit(work, Commits::Itself).await
    }

    /// Runs a transaction: begins, works, commits. When this returns `Ok`, it is committed.
    pub async fn transaction<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: for<'c> Fn(&'c mut PgConnection) -> Work<'c, T> + Send + Sync + 'static,
    {
        self.unit(work, Commits::AtItsEnd).await
    }

    /// The same for what waits until others have done theirs: `LockTimeout` if they have not in 500 ms.
    pub async fn turn<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: for<'c> Fn(&'c mut PgConnection) -> Work<'c, T> + Send + Sync + 'static,
    {
        self.unit(work, Commits::InTurn).await
    }

    async fn unit<T, W>(&self, work: W, commits: Commits) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: for<'c> Fn(&'c mut PgConnection) -> Work<'c, T> + Send + Sync + 'static,
    {
        // Whoever gives up while it waits for its turn leaves; from then on its work goes on without it.
        let pass = match &self.gate {
            Some(gate) => Some(gate.enter().await?),
            None => None,
        };
        let (db, away) = (self.clone(), self.away.clone());
        let task = self.tracker.spawn(async move {
            let _pass = pass;
            let mut attempt = 0;
            loop {
                let result = db.attempt(&work, commits).await;
                away.store(result.as_ref().is_err_and(StoreError::is_outage), Ordering::Relaxed);
                match result {
                    Err(StoreError::Serialization(why)) if attempt < SERIALIZATION_RETRIES => {
                        attempt += 1;
                        tracing::debug!(%why, attempt, "transaction is run again");
                    }
                    result => return result,
                }
            }
        });
        task.await.unwrap_or_else(|panic| Err(StoreError::defect(panic.to_string())))
    }

    /// A unit of work, once.
    async fn attempt<T, W>(&self, work: &W, commits: Commits) -> Result<T, StoreError>
    where
        W: for<'c> Fn(&'c mut PgConnection) -> Work<'c, T>,
    {
        let (mut warmed, deadline) = (self.connection().await?, self.deadline);
        let connection: &mut PgConnection = &mut warmed.connection;
        let mut committing = commits == Commits::Itself;
        let unit = async {
            let Some(begin) = commits.begin() else {
                return work(connection).await;
            };
            let mut transaction = connection.begin_with(begin).await?;
            match work(&mut transaction).await {
                Ok(value) => {
                    committing = true;
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
                // Whatever state the connection is in, nobody else shall meet it.
                drop(warmed.connection.detach());
                Err(if committing { StoreError::CommitUnknown(why) } else { StoreError::Unavailable(why) })
            }
            result => {
                self.warm.keep(warmed);
                result
            }
        }
    }

    /// A connection that was just used, or else one from the pool. That is waited for in a task of its own, which goes on when this
    /// one has lost patience.
    async fn connection(&self) -> Result<Warmed, StoreError> {
        if let Some(warmed) = self.warm.take() {
            return Ok(warmed);
        }
        let (pool, waiting) = (self.pool.clone(), self.warm.waiting());
        let opening = self.opening.spawn(async move {
            let _waiting = waiting;
            pool.acquire().await.map(Warmed::new)
        });
        let patience = self.deadline.min(ACQUIRE_PATIENCE);
        match tokio::time::timeout(patience, opening).await {
            Ok(Ok(connection)) => Ok(connection?),
            Ok(Err(panic)) => Err(StoreError::defect(panic.to_string())),
            Err(_) => Err(StoreError::Unavailable(format!("no connection within {patience:?}").into())),
        }
    }

    /// Says that somebody waits for a connection of the pool, who does not ask here for it.
    pub(super) fn waiting(&self) -> Waiting {
        self.warm.waiting()
    }

    /// How many connections the pool has at the most.
    pub fn max_connections(&self) -> usize {
        self.pool.options().get_max_connections() as usize
    }

    /// Units of work that run, or wait for a connection.
    pub fn units(&self) -> usize {
        self.tracker.len()
    }

    /// The pool, for what manages its own connections.
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
