//! A run that logs as fast as it can delays only its own log.

use std::time::Duration;

use handlers::HttpConfig;
use proto::v1::*;
use serde_json::json;
use sqlx::Connection;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use worker::{Worker, WorkerConfig};

use crate::support::{Fixture, eventually, spec, waiting_for_locks};

const LEASE: Duration = Duration::from_secs(2);
/// More lines than are written before the cancel.
const LINES: i64 = 1_000_000;

/// A fixture whose worker executes a run that writes so many lines; some are stored by now.
async fn flooded() -> (Fixture, Run, JoinSet<()>) {
    let fixture = Fixture::with(1, |config| config.engine.lease_timeout = LEASE).await;
    let builder = Worker::builder(WorkerConfig::new(fixture.address()));
    let worker = handlers::register(builder, &HttpConfig::default()).build().expect("it is valid");
    let mut task = JoinSet::new();
    task.spawn(async move { worker.run(CancellationToken::new()).await.map(drop).expect("a server takes it") });
    let params = json!({ "command": format!("yes 'as fast as it can' | head -n {LINES}") }).to_string();
    let params = Some(run_spec::Params::ParamsJson(params));
    let spec = RunSpec { params, ..spec(&fixture.session().await, "shell") };
    let run = fixture.enqueue_spec(spec).await.expect("it is enqueued");
    eventually("the first lines", async || (kept(&fixture, &run.id).await > 0).then_some(())).await;
    (fixture, run, task)
}

async fn kept(fixture: &Fixture, run_id: &str) -> i64 {
    let statement = "SELECT count(*) FROM ops.run_events WHERE run_id = $1::text::uuid";
    sqlx::query_scalar(statement).bind(run_id).fetch_one(&mut fixture.sql().await).await.expect("they are counted")
}

/// Cancels the run, and expects that its worker confirms.
async fn is_cancelled(fixture: &Fixture, run_id: &str) {
    fixture.cancel(run_id).await;
    let ended = fixture.ended(run_id).await;
    assert_eq!((ended.status(), ended.attempt), (RunStatus::Cancelled, 1), "{ended:?}");
    assert_eq!(ended.cancellation.expect("it was asked for").confirmed, Some(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_logs_as_fast_as_it_can_is_cancelled_while_it_logs() {
    let (fixture, run, _worker) = flooded().await;
    is_cancelled(&fixture, &run.id).await;
    assert!(kept(&fixture, &run.id).await < LINES, "it was still writing");
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_reports_and_cancels_continue_while_no_log_can_be_written() {
    let (fixture, run, _worker) = flooded().await;
    let (mut held, mut looking) = (fixture.sql().await, fixture.sql().await);
    let mut foreign = held.begin().await.expect("it begins");
    let lock = "LOCK TABLE ops.run_events IN ACCESS EXCLUSIVE MODE";
    sqlx::query(lock).execute(&mut *foreign).await.expect("it is locked");
    waiting_for_locks(&fixture, &mut looking, 1).await;
    let locked_at = fixture.get(&run.id).await.heartbeat_time.expect("it is held");
    eventually("heartbeats for longer than a lease", async || {
        let run = fixture.get(&run.id).await;
        assert_eq!((run.status(), run.attempt), (RunStatus::Running, 1), "{run:?}");
        let seconds = run.heartbeat_time?.seconds - locked_at.seconds;
        (seconds > 2 * LEASE.as_secs() as i64).then_some(())
    })
    .await;
    let params = Some(run_spec::Params::ParamsJson(r#"{"duration": 0}"#.into()));
    let brief = RunSpec { params, ..spec(&run.session_id, "sleep") };
    let brief = fixture.enqueue_spec(brief).await.expect("it is enqueued");
    assert_eq!(fixture.ended(&brief.id).await.status(), RunStatus::Succeeded, "the same stream takes its report");
    is_cancelled(&fixture, &run.id).await;
    let still_locked = "SELECT count(*) FROM pg_locks WHERE relation = 'ops.run_events'::regclass AND granted
                        AND mode = 'AccessExclusiveLock'";
    let locks: i64 = sqlx::query_scalar(still_locked).fetch_one(&mut looking).await.expect("they are counted");
    assert_eq!(locks, 1, "all of that happened while the lock was held");
    foreign.rollback().await.expect("it ends");
}
