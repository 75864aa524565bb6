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

/// Makes the roles and the schema, and applies what is not applied yet. One at a time for a database: the others wait at
/// the migrator's advisory lock. Migrations of a later release, already applied, are left alone, so that the old release
/// can run beside the new during a rolling restart.
pub async fn migrate(url: &DatabaseUrl) -> Result<(), StoreError> {
    let mut connection = url.0.connect().await?;
    let result = apply(&mut connection).await;
    connection.close().await?;
    result
}

async fn apply(connection: &mut PgConnection) -> Result<(), StoreError> {
    // Two servers that start at once would race for the roles and the schema.
    sqlx::raw_sql("SELECT pg_advisory_lock(hashtext('ops.bootstrap'))").execute(&mut *connection).await?;
    sqlx::raw_sql(include_str!("../../../migrations/bootstrap.sql")).execute(&mut *connection).await?;
    sqlx::raw_sql("SET ROLE ops_owner").execute(&mut *connection).await?;

    let mut migrator = Migrator { migrations: MIGRATIONS.migrations.clone(), ..Migrator::DEFAULT };
    migrator.set_ignore_missing(true);
    migrator.dangerous_set_table_name("ops._sqlx_migrations");
    let begun = std::time::Instant::now();
    // `run` would do, but for a lifetime that keeps its future from moving between threads.
    migrator.run_direct(None, &mut *connection, false).await.map_err(|error| match error {
        sqlx::migrate::MigrateError::Execute(error) => StoreError::from(error),
        error => StoreError::defect(error.to_string()),
    })?;
    let elapsed: Duration = begun.elapsed();
    tracing::info!(migrations = MIGRATIONS.migrations.len(), ?elapsed, "database is migrated");
    sqlx::raw_sql("SELECT pg_advisory_unlock(hashtext('ops.bootstrap'))").execute(&mut *connection).await?;
    Ok(())
}
