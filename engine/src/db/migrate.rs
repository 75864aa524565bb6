//! Brings a database to the schema of this program.

use std::fmt;
use std::time::{Duration, Instant};

use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection};

use crate::db::opening::Opener;
use crate::db::{DatabaseUrl, StoreError};

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// A migration of this program.
#[derive(Debug, Clone)]
pub struct Migration {
    pub version: i64,
    pub description: String,
    pub checksum: Vec<u8>,
}

impl fmt::Display for Migration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04} {}", self.version, self.description)
    }
}

/// The migrations of this program, in order.
pub fn migrations() -> impl Iterator<Item = Migration> {
    MIGRATIONS.iter().map(|migration| Migration {
        version: migration.version,
        description: migration.description.to_string(),
        checksum: migration.checksum.to_vec(),
    })
}

/// A function of the schema, and the file that creates or replaces it.
#[derive(Debug)]
pub struct Function {
    pub name: &'static str,
    source: &'static str,
}

macro_rules! functions {
    ($($name:literal),*) => {
        [$(Function { name: $name, source: include_str!(concat!("../../../migrations/functions/", $name, ".sql")) }),*]
    };
}

/// The files of `migrations/functions/`, in the order in which they are applied.
static FUNCTIONS: [Function; 15] = functions![
    "cancel_ends_at",
    "current_tenant",
    "enqueue_run",
    "json_violation",
    "lease_ends_at",
    "lease_service_is_current",
    "line_violation",
    "new_id",
    "run_is_due",
    "run_next",
    "runs_deleted",
    "session_is_cancelling",
    "session_is_done",
    "sessions_deleted",
    "wake"
];

/// A function as the database remembers it.
#[derive(Debug, sqlx::FromRow)]
pub struct AppliedFunction {
    pub name: String,
    source: String,
    /// Major, minor and patch of the newest program that has this function.
    release: [i32; 3],
}

impl AppliedFunction {
    pub const SELECT: &str = "SELECT name, source, release FROM ops._functions ORDER BY name";

    fn is_later(&self) -> bool {
        self.release > release()
    }
}

/// The functions whose text differs from that of this program, and that no later release made.
pub fn stale_functions(applied: &[AppliedFunction]) -> impl Iterator<Item = &'static Function> {
    FUNCTIONS.iter().filter(|function| {
        let same_name = applied.iter().find(|it| it.name == function.name);
        same_name.is_none_or(|it| !it.is_later() && it.source != function.source)
    })
}

/// The functions that a later release made, and whose text differs from that of this program.
pub fn later_functions(applied: &[AppliedFunction]) -> impl Iterator<Item = &AppliedFunction> {
    let is_ours = |it: &AppliedFunction| FUNCTIONS.iter().any(|own| own.name == it.name && own.source == it.source);
    applied.iter().filter(move |it| it.is_later() && !is_ours(it))
}

/// Major, minor and patch of this program.
fn release() -> [i32; 3] {
    [env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"), env!("CARGO_PKG_VERSION_PATCH")]
        .map(|number| number.parse().expect("cargo takes only numbers"))
}

/// The time between two tries to take the migration lock.
const LOCK_INTERVAL: Duration = Duration::from_millis(250);

/// How often a migration that waits says for whom.
const WAIT_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Who holds the migration lock.
const HOLDER: &str = "SELECT format('pid %s (%s, %s for %s s): %s', a.pid, coalesce(nullif(a.application_name, ''), 'no name'),
              coalesce(a.state, 'unknown'), extract(epoch FROM clock_timestamp() - a.state_change)::int, left(a.query, 100))
       FROM pg_locks l JOIN pg_stat_activity a USING (pid)
       WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
         AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
         AND ((l.classid::int8 << 32) | l.objid::int8) = hashtext('ops.bootstrap')::int8
       LIMIT 1";

/// For whose locks a process waits.
const BLOCKERS: &str = "SELECT string_agg(format('pid %s (%s, %s for %s s): %s', a.pid,
              coalesce(nullif(a.application_name, ''), 'no name'), coalesce(a.state, 'unknown'),
              extract(epoch FROM clock_timestamp() - a.state_change)::int, left(a.query, 100)), '; ')
       FROM pg_stat_activity a WHERE a.pid = ANY (pg_blocking_pids($1))";

/// Why a database was not migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error("no connection can be opened: {0}")]
    Unreachable(String),
    #[error(
        "another program has held the migration lock for longer than {timeout:?}: {holder}; wait until it has ended, or end it, and start \
         again"
    )]
    Locked { timeout: Duration, holder: String },
    #[error(
        "a migration has waited for a lock for longer than {timeout:?}, and nothing of it is applied: {waited_for}"
    )]
    TableLocked { timeout: Duration, waited_for: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for MigrateError {
    fn from(error: sqlx::Error) -> Self {
        MigrateError::Store(error.into())
    }
}

/// Makes the roles and the schema, applies the migrations that are not applied yet, and replaces the functions that changed. Only one
/// program at a time migrates a database; the others wait for an advisory lock, up to this timeout. Migrations and functions of a later
/// release stay, so that the old release can run beside the new one during a rolling restart.
pub async fn migrate(url: &DatabaseUrl, timeout: Duration) -> Result<(), MigrateError> {
    let opener = Opener::new(url.clone(), format!("SET lock_timeout = {}", timeout.as_millis()));
    let (mut connection, backend) = opener.open_at_once().await.map_err(MigrateError::Unreachable)?;
    let mut waited_for = String::new();
    let result = {
        let mut applied = std::pin::pin!(apply(&mut connection, timeout));
        loop {
            tokio::select! {
                result = &mut applied => break result,
                () = tokio::time::sleep(WAIT_LOG_INTERVAL.min(timeout / 2)) => {}
            }
            if let Some(found) = blockers(&opener, backend.pid).await {
                tracing::warn!(waits_for = %found, "the migration waits for the locks of others");
                waited_for = found;
            }
        }
    };
    if let Err(MigrateError::Store(StoreError::LockTimeout)) = result {
        return Err(MigrateError::TableLocked { timeout, waited_for });
    }
    connection.close().await?;
    result
}

/// For whose locks this process waits. `None` also if that can not be found out.
async fn blockers(opener: &Opener, pid: i32) -> Option<String> {
    let mut c = opener.open_plain().await.ok()?;
    sqlx::query_scalar(BLOCKERS).persistent(false).bind(pid).fetch_one(&mut c).await.ok()?
}

/// Takes the migration lock. A session that waits within the database for it would hold a snapshot, for which an index that the holder
/// builds concurrently waits: so it only tries, again and again.
async fn lock(connection: &mut PgConnection, timeout: Duration) -> Result<(), MigrateError> {
    let (begun, mut logged) = (Instant::now(), None::<Instant>);
    loop {
        let take = "SELECT pg_try_advisory_lock(hashtext('ops.bootstrap'))";
        if sqlx::query_scalar(take).persistent(false).fetch_one(&mut *connection).await? {
            return Ok(());
        }
        let holder: Option<String> =
            sqlx::query_scalar(HOLDER).persistent(false).fetch_optional(&mut *connection).await?;
        let holder = holder.unwrap_or_else(|| "an unknown process".to_owned());
        if begun.elapsed() > timeout {
            return Err(MigrateError::Locked { timeout, holder });
        }
        if logged.is_none_or(|at| at.elapsed() > WAIT_LOG_INTERVAL) {
            logged = Some(Instant::now());
            tracing::warn!(%holder, waited = ?begun.elapsed(), "another program holds the migration lock");
        }
        tokio::time::sleep(LOCK_INTERVAL).await;
    }
}

async fn apply(connection: &mut PgConnection, timeout: Duration) -> Result<(), MigrateError> {
    // Without the lock, two servers that start at once would race for the roles and the schema.
    lock(connection, timeout).await?;
    let bootstrap = sqlx::raw_sql(include_str!("../../../migrations/bootstrap.sql")).execute(&mut *connection);
    bootstrap.await.map_err(|error| match error.as_database_error() {
        // The message is whole statements for somebody else, and nothing may follow them.
        Some(refused) if refused.code().as_deref() == Some("42501") => StoreError::defect(refused.message()),
        _ => error.into(),
    })?;
    sqlx::raw_sql("SET ROLE ops_owner").execute(&mut *connection).await?;

    let mut migrator = Migrator { migrations: MIGRATIONS.migrations.clone(), ..Migrator::DEFAULT };
    migrator.set_ignore_missing(true);
    // The lock above is enough, and the migrator's own has no timeout.
    migrator.set_locking(false);
    migrator.dangerous_set_table_name("ops._sqlx_migrations");
    let begun = Instant::now();
    // The future of `run` is not `Send`, because of a lifetime.
    migrator.run_direct(None, &mut *connection, false).await.map_err(|error| match error {
        sqlx::migrate::MigrateError::Execute(error) => StoreError::from(error),
        sqlx::migrate::MigrateError::ExecuteMigration(error, version) => match StoreError::from(error) {
            StoreError::Defect(why) => StoreError::defect(format!("migration {version}: {why}")),
            error => error,
        },
        error => StoreError::defect(error.to_string()),
    })?;
    replace_functions(connection).await?;
    let elapsed: Duration = begun.elapsed();
    tracing::info!(migrations = MIGRATIONS.migrations.len(), ?elapsed, "database is migrated");
    sqlx::raw_sql("SELECT pg_advisory_unlock(hashtext('ops.bootstrap'))").execute(&mut *connection).await?;
    Ok(())
}

/// Replaces all changed functions in one transaction, so that nobody sees old and new ones together. The other functions are not touched.
async fn replace_functions(connection: &mut PgConnection) -> Result<(), StoreError> {
    let mut transaction = connection.begin().await?;
    let applied: Vec<AppliedFunction> = sqlx::query_as(AppliedFunction::SELECT).fetch_all(&mut *transaction).await?;
    for function in stale_functions(&applied) {
        sqlx::raw_sql(function.source).execute(&mut *transaction).await?;
        sqlx::query(
            "INSERT INTO ops._functions (name, source, release) VALUES ($1, $2, $3)
             ON CONFLICT (name) DO UPDATE SET source = excluded.source, release = excluded.release, replaced_at = now()",
        )
        .bind(function.name)
        .bind(function.source)
        .bind(release())
        .execute(&mut *transaction)
        .await?;
        tracing::info!(function = function.name, "function is replaced");
    }
    // Also a function that did not change gets this release, so that an earlier release that starts later does not replace it.
    sqlx::query("UPDATE ops._functions SET release = $1 WHERE name = ANY ($2) AND release < $1")
        .bind(release())
        .bind(FUNCTIONS.iter().map(|function| function.name).collect::<Vec<_>>())
        .execute(&mut *transaction)
        .await?;
    Ok(transaction.commit().await?)
}
