//! `with_database MIGRATIONS COMMAND...`: runs a command with `DATABASE_URL` set to a temporary database with the
//! schema in the folder MIGRATIONS, and exits with the command's status. Server and database are removed afterwards.
//!
//! It does not use the server crate, so that it builds when that crate's prepared statements are out of date.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

use devpg::{Cluster, ClusterOptions, Programs};
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

const DATABASE: &str = "ops";

type Error = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Error> {
    let mut arguments = env::args_os().skip(1);
    let usage = "usage: with_database MIGRATIONS COMMAND [ARGUMENT...]";
    let migrations = PathBuf::from(arguments.next().ok_or(usage)?);
    let program = arguments.next().ok_or(usage)?;

    let cluster = Box::pin(Cluster::start(&Programs::find(None)?, ClusterOptions::temporary())).await?;
    cluster.create_database(DATABASE).await?;
    let url = cluster.url(DATABASE);
    migrate(&url, &migrations).await?;
    let code = run(program, arguments, &url)?;
    cluster.stop().await?;
    Ok(code)
}

/// Applies `bootstrap.sql` and then the migrations, as the owner of the schema, as the server does.
async fn migrate(url: &str, folder: &Path) -> Result<(), Error> {
    let mut connection = PgConnection::connect(url).await?;
    let bootstrap = fs::read_to_string(folder.join("bootstrap.sql"))?;
    sqlx::raw_sql(AssertSqlSafe(bootstrap)).execute(&mut connection).await?;
    sqlx::raw_sql("SET ROLE ops_owner").execute(&mut connection).await?;
    let mut migrator = Migrator::new(folder).await?;
    migrator.dangerous_set_table_name("ops._sqlx_migrations");
    migrator.run_direct(None, &mut connection, false).await?;
    Ok(connection.close().await?)
}

fn run(program: OsString, arguments: impl Iterator<Item = OsString>, url: &str) -> Result<ExitCode, Error> {
    let status = Command::new(&program)
        .args(arguments)
        .env("DATABASE_URL", url)
        .status()
        .map_err(|error| format!("can not run {}: {error}", program.display()))?;
    // A program that a signal ended has no exit code.
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}
