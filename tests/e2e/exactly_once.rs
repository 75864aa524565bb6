//! Each run is executed once, however many servers and workers there are. The test counts outside the database: each
//! execution appends a line to a file.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use proto::v1::*;
use serde_json::Value;

use crate::support::{Fixture, Handle, LiveWorker, Server, eventually};

/// Records each execution: one write to a file that is opened for appending is one line.
fn tally(file: &Path) -> Handle {
    let file = file.to_owned();
    Handle::new(move |context| {
        let line = format!("{} {}\n", context.run_id(), context.attempt());
        let file = file.clone();
        async move {
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file)?;
            file.write_all(line.as_bytes())?;
            Ok(Value::Null)
        }
    })
}

/// Executes runs with these servers and workers. Each run must be executed once, in its first attempt.
async fn execute(servers: usize, workers: usize, slots: usize, runs: usize) {
    let fixture = Fixture::with(servers, |_| {}).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("executions");
    let handle = tally(&file);
    // Each worker starts at another server.
    let worker = |index: usize| {
        let mut order: Vec<&Server> = fixture.servers.iter().collect();
        order.rotate_left(index % servers);
        LiveWorker::start(&order, slots, "tally", &handle)
    };
    let crew: Vec<LiveWorker> = (0..workers).map(worker).collect();

    let session = fixture.session().await;
    let ids: BTreeSet<String> = fixture.enqueue_many(&session, "tally", runs).await.into_iter().collect();
    assert_eq!(ids.len(), runs);
    fixture.close(&session).await;
    let ended = eventually("the end of the session", async || {
        Some(fixture.session_now(&session).await).filter(|session| session.status() == SessionStatus::Completed)
    })
    .await;
    assert_eq!((ended.total_runs, ended.succeeded_runs), (runs as i64, runs as i64));
    assert_eq!((ended.failed_runs, ended.cancelled_runs), (0, 0));

    let mut started = 0;
    for worker in crew {
        let summary = worker.stop().await;
        assert_eq!((summary.lost, summary.refused, summary.unreported), (0, 0, 0), "{summary:?}");
        started += summary.started;
    }
    assert_eq!(started, runs as u64);
    let text = std::fs::read_to_string(&file).expect("executions were recorded");
    let executed: Vec<(&str, &str)> = text.lines().map(|line| line.split_once(' ').expect("a whole line")).collect();
    assert_eq!(executed.len(), runs, "executions");
    assert!(executed.iter().all(|(_, attempt)| *attempt == "1"));
    assert_eq!(executed.iter().map(|(id, _)| (*id).to_owned()).collect::<BTreeSet<_>>(), ids);
    let other = "SELECT count(*) FROM ops.runs WHERE status <> 'succeeded' OR attempt <> 1 OR fence <> 1";
    let other: i64 = sqlx::query_scalar(other).fetch_one(&mut fixture.sql().await).await.expect("it is counted");
    assert_eq!(other, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_runs_of_two_workers_are_each_executed_once() {
    execute(1, 2, 2, 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_runs_of_eight_workers_at_two_servers_are_each_executed_once() {
    execute(2, 8, 64, 10_000).await;
}
