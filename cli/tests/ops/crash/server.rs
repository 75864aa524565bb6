use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use proto::v1::{RunSpec, RunStatus};
use tokio::{sync::watch, task::JoinSet};

use crate::ops::{
    client::{Client, Runs, shell},
    fixture::Fixture,
    gate::{Gate, Ledger},
};

const CALLERS: usize = 6;
const RUNS_EACH: usize = 50;
/// The time between two tries of a caller while the server is away.
const AGAIN: Duration = Duration::from_millis(20);

/// Every run succeeded in its first attempt, and did its work once.
fn assert_each_ran_once(runs: &Runs, ledger: &Ledger) {
    for run in runs.values() {
        assert_eq!((run.status(), run.attempt), (RunStatus::Succeeded, 1), "{run:#?}");
    }
    let mut lines = ledger.lines();
    lines.sort();
    assert_eq!(lines, runs.keys().cloned().collect::<Vec<_>>(), "each run signs once");
}

/// Enqueues runs one by one, and publishes those that are acknowledged. Every second run has a request id, so its call
/// is retried. The fate of the others is unknown without an acknowledgement.
async fn enqueue_all(client: Client, run: RunSpec, caller: usize, acknowledged: watch::Sender<Vec<String>>) -> usize {
    let mut failures = 0;
    for number in 0..RUNS_EACH {
        let request_id = if number % 2 == 0 { format!("{caller}-{number}") } else { String::new() };
        let run = RunSpec { request_id, ..run.clone() };
        let id = loop {
            match client.enqueue(run.clone()).await {
                Ok(id) => break id,
                Err(_) => failures += 1,
            }
            tokio::time::sleep(AGAIN).await;
        };
        acknowledged.send_modify(|ids| ids.push(id));
    }
    failures
}

#[tokio::test]
async fn a_server_that_is_killed_in_a_burst_and_started_again_loses_no_run_and_repeats_none() {
    let mut fixture = Fixture::empty().await;
    fixture.serve(&[]);
    for name in ["one", "two", "three"] {
        fixture.work(&["--name", name, "--slots", "4"]);
    }
    let client = fixture.client();
    let session = client.session().await;
    let ledger = Ledger::new(fixture.folder(), "ledger");
    let (acknowledged, mut seen) = watch::channel(Vec::new());
    let begin = Instant::now();
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let run = shell(&session, &ledger.sign());
        callers.spawn(enqueue_all(client.clone(), run, caller, acknowledged.clone()));
    }

    // Some runs are acknowledged, some have ended, and more of both follow.
    seen.wait_for(|ids| ids.len() >= CALLERS * RUNS_EACH / 4).await.unwrap();
    ledger.until(10).await;
    let server = fixture.kill_server(0);
    let (enqueued, signed) = (acknowledged.borrow().len(), ledger.lines().len());
    let killed = Instant::now();
    fixture.serve_again(server);
    let away = killed.elapsed();
    assert!(away < Duration::from_secs(5), "{away:?}");

    let failures: usize = callers.join_all().await.into_iter().sum();
    let acknowledged = acknowledged.borrow().clone();
    assert_eq!(acknowledged.iter().collect::<BTreeSet<_>>().len(), CALLERS * RUNS_EACH);
    let total = usize::try_from(client.read_session(&session).await.total_runs).unwrap();
    let ended = |runs: &Runs| runs.len() == total && runs.values().all(|run| run.finish_time.is_some());
    let runs = client.until(&session, ended).await;
    assert!(acknowledged.iter().all(|id| runs.contains_key(id)), "each acknowledged run exists");
    assert_each_ran_once(&runs, &ledger);
    println!(
        "{total} runs in {:?}; the kill came after {enqueued} enqueued and {signed} run, away for {away:?}, {failures} calls failed",
        begin.elapsed()
    );

    let mut begun = 0;
    for worker in std::mem::take(&mut fixture.workers) {
        assert_eq!(worker.journal.events("connected").len(), 2, "each worker reconnected by itself, once");
        worker.signal(Signal::SIGTERM);
        let ended = worker.end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        begun += ended.stderr.lines().find_map(begun_runs).unwrap();
    }
    assert_eq!(begun, total, "no run was begun twice");
}

fn begun_runs(line: &str) -> Option<usize> {
    line.strip_prefix("worker stopped: ")?.split_once(" runs begun")?.0.parse().ok()
}

#[tokio::test]
async fn workers_of_a_killed_server_go_on_with_another_and_lose_no_run() {
    let mut fixture = Fixture::empty().await;
    fixture.serve(&[]);
    fixture.serve(&[]);
    // The workers connect to the server that will be killed. No server listens at the other address yet.
    let second = fixture.kill_server(1);
    let servers = format!("{},http://{}", fixture.address(), second.listen);
    for name in ["one", "two", "three"] {
        fixture.work_for(&servers, &["--name", name, "--slots", "2"]);
    }
    let client = fixture.client();
    let session = client.session().await;
    let (mut gate, ledger) = (Gate::new(fixture.folder(), "gate"), Ledger::new(fixture.folder(), "ledger"));
    let script = format!("{}; {}", gate.pass(), ledger.sign());
    let held = client.enqueue_many(&session, &script, 6).await;
    client.until_all(&session, &held, RunStatus::Running).await;
    // These runs wait for slots.
    let queued = client.enqueue_many(&session, &ledger.sign(), 10).await;
    fixture.serve_again(second);

    let killed = Instant::now();
    fixture.kill_server(0);
    for worker in &fixture.workers {
        worker.journal.wait_for("\"stream_epoch\":2");
    }
    let moved = killed.elapsed();
    gate.open();
    let client = fixture.client();
    let all = [held, queued].concat();
    let runs = client.until_all(&session, &all, RunStatus::Succeeded).await;
    assert_eq!(runs.len(), all.len());
    assert_each_ran_once(&runs, &ledger);
    println!("all workers were with the other server {moved:?} after the kill");
}
