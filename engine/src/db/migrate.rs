//! Brings a database to the schema of this program.

use std::fmt;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::{ConnectOptions, Connection, PgConnection};

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

/// Makes the roles and the schema, applies the migrations that are not applied yet, and replaces the functions that changed. Only one
/// program at a time migrates a database; the others wait for an advisory lock. Migrations and functions of a later release stay, so
/// that the old release can run beside the new one during a rolling restart.
pub async fn migrate(url: &DatabaseUrl) -> Result<(), StoreError> {
    let mut connection = url.0.connect().await?;
    let result = apply(&mut connection).await;
    connection.close().await?;
    result
}

async fn apply(connection: &mut PgConnection) -> Result<(), StoreError> {
    // Without the lock, two servers that start at once would race for the roles and the schema.
    sqlx::raw_sql("SELECT pg_advisory_lock(hashtext('ops.bootstrap'))").execute(&mut *connection).await?;
    let bootstrap = sqlx::raw_sql(include_str!("../../../migrations/bootstrap.sql")).execute(&mut *connection);
    bootstrap.await.map_err(|error| match error.as_database_error() {
        // The message is whole statements for somebody else, and nothing may follow them.
        Some(refused) if refused.code().as_deref() == Some("42501") => StoreError::defect(refused.message()),
        _ => error.into(),
    })?;
    sqlx::raw_sql("SET ROLE ops_owner").execute(&mut *connection).await?;

    let mut migrator = Migrator { migrations: MIGRATIONS.migrations.clone(), ..Migrator::DEFAULT };
    migrator.set_ignore_missing(true);
    migrator.dangerous_set_table_name("ops._sqlx_migrations");
    let begun = std::time::Instant::now();
    // The future of `run` is not `Send`, because of a lifetime.
    migrator.run_direct(None, &mut *connection, false).await.map_err(|error| match error {
        sqlx::migrate::MigrateError::Execute(error) => StoreError::from(error),
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
