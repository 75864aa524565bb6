//! Runs that nobody executes: committed late, while others commit, and not changed until every watcher must know them.

use std::time::Duration;

use anyhow::Result;
use proto::v1::CancelRunRequest;
use sqlx::{Connection, PgConnection, Row};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{Caller, Known};
use crate::history::{Recorder, What};

/// No worker takes it.
pub const PARKED: &str = "parked";

/// How many transactions are open while others commit.
const LATE: usize = 6;
/// Longer than servers wait between two looks at what has changed.
const HELD: Duration = Duration::from_millis(1_300);
/// How long a cancel is tried again.
const PERSISTENCE: Duration = Duration::from_secs(30);

const SESSION: &str = "SET ROLE ops_authenticated; SET ops.tenant_id = 'default'";
const ENQUEUE: &str =
    "SELECT ops.enqueue_run($1, 'B'::ops.lane_type, $2, labels => jsonb_build_object('key', $3::text))";

/// Enqueues parked runs in transactions that stay open while later ones commit: who follows changes by a number of theirs
/// passes these over.
///
/// # Errors
///
/// When the database does not do as it is told, though nothing is broken any more.
pub async fn enqueue_late(url: &str, known: &Known, recorder: &Recorder) -> Result<()> {
    let sessions = known.sessions();
    let Some(session) = sessions.first().copied() else { return Ok(()) };
    let mut late = Vec::new();
    for number in 0..LATE {
        let mut connection = PgConnection::connect(url).await?;
        sqlx::raw_sql(SESSION).execute(&mut connection).await?;
        sqlx::raw_sql("BEGIN").execute(&mut connection).await?;
        let key = format!("late-{number}");
        late.push((enqueue(&mut connection, session, &key, recorder).await?, key, connection));
        let key = format!("early-{number}");
        let mut connection = PgConnection::connect(url).await?;
        sqlx::raw_sql(SESSION).execute(&mut connection).await?;
        let id = enqueue(&mut connection, session, &key, recorder).await?;
        committed(recorder, session, key, id)?;
    }
    sleep(HELD).await;
    for (id, key, mut connection) in late {
        sqlx::raw_sql("COMMIT").execute(&mut connection).await?;
        committed(recorder, session, key, id)?;
    }
    Ok(())
}

async fn enqueue(connection: &mut PgConnection, session: Uuid, key: &str, recorder: &Recorder) -> Result<Uuid> {
    recorder.record(What::SqlAsked { session, key: key.to_owned() })?;
    let row = sqlx::query(ENQUEUE).bind(session).bind(PARKED).bind(key).fetch_one(connection).await?;
    Ok(row.try_get(0)?)
}

fn committed(recorder: &Recorder, session: Uuid, key: String, id: Uuid) -> Result<()> {
    Ok(recorder.record(What::SqlEnqueued { session, key, id: Some(id), committed: Some(true) })?)
}

/// Cancels parked runs, so that they end.
///
/// # Errors
///
/// When one can not be cancelled, though nothing is broken any more.
pub async fn cancel_all(mut caller: Caller, runs: &[Uuid]) -> Result<()> {
    for run in runs {
        let end = Instant::now() + PERSISTENCE;
        loop {
            let request = CancelRunRequest { run_id: run.to_string(), ..CancelRunRequest::default() };
            let mut calls = caller.runs();
            match caller.call(calls.cancel_run(request)).await {
                Ok(_) => break,
                Err(refusal) if Instant::now() < end => sleep(refusal.delay).await,
                Err(refusal) => anyhow::bail!("parked run {run} can not be cancelled: {refusal:?}"),
            }
        }
    }
    Ok(())
}
