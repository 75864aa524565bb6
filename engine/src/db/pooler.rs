//! Finds a pooler that gives each transaction another connection. A server needs its sessions: their role, their timeouts, their
//! prepared statements, and LISTEN.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, Row};

use crate::db::DatabaseUrl;

/// How often it is tried. Other clients of the pooler may take a connection at the same moment.
const TRIES: usize = 3;

/// How long all of it may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Whether a pooler is in between that gives each transaction another connection. The question leaves nothing behind.
///
/// Such a pooler gives the server process of an idle connection to the next one that needs any. While that one keeps it in a
/// transaction, another process serves the first connection. Or else it takes the processes in turn: then another one serves the
/// next query.
pub async fn pools_transactions(url: &DatabaseUrl) -> Result<bool, sqlx::Error> {
    tokio::time::timeout(TIMEOUT, ask(url)).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

async fn ask(url: &DatabaseUrl) -> Result<bool, sqlx::Error> {
    let (options, mut idle) = first_that_answers(url).await?;
    let mut busy = options.connect().await?;
    let mut pools = false;
    for _ in 0..TRIES {
        let (first, before) = (process(&mut idle).await?, process(&mut idle).await?);
        match sqlx::raw_sql("BEGIN").execute(&mut busy).await {
            Ok(_) => {}
            // PgBouncer's answer, if it gives even each statement another connection.
            Err(sqlx::Error::Database(error)) if error.message().contains("statement pooling") => return Ok(true),
            Err(error) => return Err(error),
        }
        let other = process(&mut busy).await?;
        let after = process(&mut idle).await?;
        sqlx::raw_sql("ROLLBACK").execute(&mut busy).await?;
        pools |= before == other || first != before || before != after;
    }
    idle.close().await?;
    busy.close().await?;
    Ok(pools)
}

/// A connection to the first of the servers that can be reached.
async fn first_that_answers(url: &DatabaseUrl) -> Result<(PgConnectOptions, PgConnection), sqlx::Error> {
    let mut failure = sqlx::Error::PoolClosed;
    for server in url.servers() {
        let options = server.clone().application_name("ops");
        match options.connect().await {
            Ok(connection) => return Ok((options, connection)),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// The process that serves a connection. A pooler may not know prepared statements, so this uses none.
async fn process(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    sqlx::raw_sql("SELECT pg_backend_pid()").fetch_one(connection).await?.try_get(0)
}
