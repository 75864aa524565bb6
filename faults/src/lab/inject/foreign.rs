//! Sessions of other programs in the same database: they lock rows and tables, take connections, end sessions of
//! servers.

use std::time::Duration;

use anyhow::Result;
use rand::RngExt;
use rand::rngs::StdRng;
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use uuid::Uuid;

use crate::lab::database::{CONNECTIONS, Database};
use crate::lab::fault::ForeignSession;
use crate::proxy::Cut;

/// The longest time between two repetitions.
const AGAIN: Duration = Duration::from_millis(800);

/// How long writes are held up before the kill.
const HELD: Duration = Duration::from_millis(900);

const TABLES: [&str; 6] =
    ["ops.runs", "ops.sessions", "ops.workers", "ops.run_cancels", "ops.run_changes", "ops.lease_service"];
const RUNS: &str = "SELECT id FROM ops.runs WHERE status NOT IN ('succeeded', 'failed', 'cancelled')";
/// Locks runs in an order that no server uses.
const RUNS_BACKWARDS: &str = "SELECT id FROM ops.runs WHERE status NOT IN ('succeeded', 'failed', 'cancelled') \
                              ORDER BY id DESC LIMIT 30";
const END_BACKENDS: &str =
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ops' AND random() < 0.7";

/// Acts until the end.
pub(super) async fn inject(database: &Database, session: ForeignSession, mut rng: StdRng, end: Instant) -> Result<()> {
    match session {
        ForeignSession::EndsBackends => end_backends(database, &mut rng, end).await,
        ForeignSession::TakesConnections => take_connections(database, end).await,
        ForeignSession::LocksTable => {
            let table = TABLES[rng.random_range(0..TABLES.len())];
            hold(database, &format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"), end).await
        }
        ForeignSession::LocksRuns => {
            hold(database, &format!("{RUNS} AND random() < 0.5 ORDER BY id FOR UPDATE"), end).await
        }
        ForeignSession::LocksSessions => hold(database, "SELECT FROM ops.sessions ORDER BY id FOR UPDATE", end).await,
        ForeignSession::HoldsTransaction => hold(database, "SELECT pg_current_xact_id()", end).await,
        // The timeout ends a session that still waits for a lock.
        ForeignSession::Deadlocks => timeout_at(end + AGAIN, deadlock(database, end)).await.unwrap_or(Ok(())),
    }
}

/// Locks rows that servers write, so that many writes wait. Dropping the connection frees the lock. None if no row could
/// be locked.
pub(super) async fn lock_what_is_written(database: &Database, mut rng: StdRng) -> Option<PgConnection> {
    const LOCKS: [&str; 3] = [
        "LOCK TABLE ops.session_deltas IN SHARE MODE",
        "LOCK TABLE ops.run_changes IN SHARE MODE",
        "SELECT FROM ops.sessions ORDER BY id FOR UPDATE",
    ];
    let lock = async {
        let mut connection = database.connect().await?;
        execute(&mut connection, "BEGIN").await?;
        execute(&mut connection, LOCKS[rng.random_range(0..LOCKS.len())]).await?;
        anyhow::Ok(connection)
    };
    let connection = tokio::time::timeout(HELD, lock).await.ok()?.ok()?;
    sleep(HELD).await;
    Some(connection)
}

/// Holds the locks of a statement.
async fn hold(database: &Database, statement: &str, end: Instant) -> Result<()> {
    let mut connection = database.connect().await?;
    // While the statement waits for its lock, others wait behind it, which is part of the fault.
    execute(&mut connection, "BEGIN").await?;
    let held = async {
        execute(&mut connection, statement).await?;
        sleep_until(end).await;
        execute(&mut connection, "ROLLBACK").await
    };
    // The timeout ends a session that still waits for a lock.
    match timeout_at(end + AGAIN, held).await {
        Ok(done) => done,
        Err(_) => Ok(()),
    }
}

async fn end_backends(database: &Database, rng: &mut StdRng, end: Instant) -> Result<()> {
    let mut connection = database.connect().await?;
    while Instant::now() < end {
        execute(&mut connection, END_BACKENDS).await?;
        sleep(rng.random_range(Duration::ZERO..AGAIN)).await;
    }
    Ok(())
}

/// Takes all free connections, and those that the servers lose during the fault.
async fn take_connections(database: &Database, end: Instant) -> Result<()> {
    let mut taken = Vec::new();
    while Instant::now() < end {
        match database.connect().await {
            Ok(connection) if taken.len() < CONNECTIONS as usize => taken.push(connection),
            _ => {
                database.proxies.iter().for_each(|proxy| proxy.cut(Cut::Rst));
                sleep(AGAIN / 8).await;
            }
        }
    }
    Ok(())
}

/// Locks runs one by one in the wrong order. The servers lose the deadlocks, because their deadlock timeout is shorter.
async fn deadlock(database: &Database, end: Instant) -> Result<()> {
    let mut connection = database.connect().await?;
    execute(&mut connection, "SET deadlock_timeout = '20s'").await?;
    while Instant::now() < end {
        let runs: Vec<Uuid> = sqlx::query_scalar(RUNS_BACKWARDS).fetch_all(&mut connection).await?;
        execute(&mut connection, "BEGIN").await?;
        for run in runs {
            let lock = format!("SELECT FROM ops.runs WHERE id = '{run}' FOR UPDATE");
            execute(&mut connection, &lock).await?;
            sleep(AGAIN / 40).await;
        }
        execute(&mut connection, "ROLLBACK").await?;
        sleep(AGAIN / 10).await;
    }
    Ok(())
}

async fn execute(connection: &mut PgConnection, statement: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}
