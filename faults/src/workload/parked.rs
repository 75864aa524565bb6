//! Runs that no worker executes. They are committed late, while others commit, and do not change until every watcher must
//! have seen them.

use std::time::Duration;

use anyhow::Result;
use proto::v1::CancelRunRequest;
use sqlx::{Connection, PgConnection, Row};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{Caller, Known};
use crate::history::{Recorder, What};

/// No worker takes this kind.
pub const PARKED: &str = "parked";

/// How many transactions are open while others commit.
const LATE: usize = 6;
/// Longer than the poll interval of the servers.
const HELD: Duration = Duration::from_millis(1_300);
/// How long a cancel is retried.
const RETRY_BUDGET: Duration = Duration::from_secs(30);

const SESSION: &str = "SET ROLE ops_authenticated; SET ops.tenant_id = 'default'";
const ENQUEUE: &str =
    "SELECT ops.enqueue_run($1, 'B'::ops.lane_type, $2, labels => jsonb_build_object('key', $3::text))";

/// Enqueues parked runs in transactions that stay open while later ones commit. A reader that follows changes by a
/// sequence number misses these runs.
///
/// # Errors
///
/// The database fails, although all faults are over.
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
/// A run can not be cancelled, although all faults are over.
pub async fn cancel_all(mut caller: Caller, runs: &[Uuid]) -> Result<()> {
    for run in runs {
        let end = Instant::now() + RETRY_BUDGET;
        loop {
            let request = CancelRunRequest { run_id: run.to_string(), ..CancelRunRequest::default() };
            let mut calls = caller.runs();
            match caller.call(calls.cancel_run(request)).await {
                Ok(_) => break,
                Err(failure) if Instant::now() < end => sleep(failure.delay).await,
                Err(failure) => anyhow::bail!("parked run {run} can not be cancelled: {failure:?}"),
            }
        }
    }
    Ok(())
}
