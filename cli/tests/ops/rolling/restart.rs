use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

use nix::sys::signal::Signal;
use proto::v1::{CancelRunRequest, Run, RunSpec, RunStatus};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    caller::{Caller, Retries},
    watcher::follow,
};
use crate::ops::{
    client::{Client, shell},
    fixture::Fixture,
    gate::Ledger,
};

const CALLERS: usize = 4;
/// The number of runs that must end between two restarts, so that each restart happens during work.
const RUNS_BETWEEN: usize = 20;

/// Enqueues runs one by one and waits for the end of each, until `stop`. Returns their number.
async fn work(
    mut caller: Caller,
    run: RunSpec,
    name: usize,
    done: watch::Sender<usize>,
    stop: CancellationToken,
) -> usize {
    for number in 0.. {
        if stop.is_cancelled() {
            return number;
        }
        let run = RunSpec { request_id: format!("work-{name}-{number}"), ..run.clone() };
        let id = caller.enqueue(&run).await;
        let ended = caller.ended(&id).await;
        assert_eq!((ended.status(), ended.attempt), (RunStatus::Succeeded, 1), "{ended:#?}");
        done.send_modify(|done| *done += 1);
    }
    0
}

/// Enqueues runs without end, and cancels them. Returns their number.
async fn cancel(mut caller: Caller, run: RunSpec, done: watch::Sender<usize>, stop: CancellationToken) -> usize {
    for number in 0.. {
        if stop.is_cancelled() {
            return number;
        }
        let run = RunSpec { request_id: format!("cancel-{number}"), ..run.clone() };
        let id = caller.enqueue(&run).await;
        let request = CancelRunRequest { run_id: id.clone(), reason: "enough".to_owned(), grace: None };
        let cancel = |mut client: Client, request| async move { client.runs.cancel_run(request).await };
        caller.call("cancel", &request, cancel).await;
        let ended = caller.ended(&id).await;
        assert_eq!(ended.status(), RunStatus::Cancelled, "{ended:#?}");
        done.send_modify(|done| *done += 1);
    }
    0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_that_are_restarted_in_turn_twice_lose_no_run_repeat_none_and_fail_no_call() {
    let mut fixture = Fixture::empty().await;
    fixture.serve(&[]);
    fixture.serve(&[]);
    for name in ["one", "two"] {
        fixture.work(&["--name", name, "--slots", "4"]);
    }
    let addresses: Vec<String> = fixture.servers.iter().map(|server| server.address.clone()).collect();
    let session = fixture.client().session().await;
    let ledger = Ledger::new(fixture.folder(), "ledger");
    let (retries, stop) = (Arc::new(Retries::default()), CancellationToken::new());
    let (done, mut done_now) = watch::channel(0);
    let (total, total_now) = watch::channel(None);
    let caller = |index: usize| {
        let mut addresses = addresses.clone();
        addresses.rotate_left(index % 2);
        Caller::of(&addresses, &retries)
    };
    let (mut workers, mut watchers) = (JoinSet::new(), JoinSet::new());
    for index in 0..2 {
        watchers.spawn(follow(caller(index), session.clone(), total_now.clone()));
    }
    let signs = shell(&session, &ledger.sign());
    for index in 0..CALLERS {
        workers.spawn(work(caller(index), signs.clone(), index, done.clone(), stop.clone()));
    }
    workers.spawn(cancel(caller(0), shell(&session, "exec sleep 1000"), done.clone(), stop.clone()));

    let mut wanted = 0;
    for _ in 0..2 {
        // Stops the first server of the list and adds it as the last, so both take turns.
        for _ in 0..2 {
            wanted = wanted.max(*done_now.borrow()) + RUNS_BETWEEN;
            done_now.wait_for(|done| *done >= wanted).await.unwrap();
            let (absent, ended) = fixture.end_server(0);
            assert_eq!(ended.code, Some(0), "{ended:?}");
            // The other server serves alone until then.
            wanted = wanted.max(*done_now.borrow()) + RUNS_BETWEEN;
            done_now.wait_for(|done| *done >= wanted).await.unwrap();
            fixture.serve_again(absent);
        }
    }
    stop.cancel();
    let runs: usize = workers.join_all().await.into_iter().sum();
    total.send_replace(Some(runs));
    let mut cancelled = BTreeSet::new();
    for seen in watchers.join_all().await {
        assert_eq!(seen.runs.len(), runs);
        assert!(seen.resumed >= 1 && seen.goodbyes >= 1, "each was with a server that left: {}", seen.resumed);
        let is_cancelled = |run: &&Run| run.status() == RunStatus::Cancelled;
        cancelled.extend(seen.runs.values().filter(is_cancelled).map(|run| run.id.clone()));
        println!("a watcher resumed {} times, {} after a goodbye", seen.resumed, seen.goodbyes);
    }

    let counted = fixture.client().read_session(&session).await;
    assert_eq!((counted.total_runs, counted.failed_runs), (i64::try_from(runs).unwrap(), 0));
    let signed = ledger.lines();
    assert_eq!(i64::try_from(signed.len()).unwrap(), counted.succeeded_runs);
    assert_eq!(signed.iter().collect::<BTreeSet<_>>().len(), signed.len(), "no program was begun twice");
    for worker in std::mem::take(&mut fixture.workers) {
        for lost in worker.journal.events("grant lost") {
            let run = lost["grant"].as_str().unwrap().split('/').next().unwrap();
            assert!(
                cancelled.contains(run),
                "only a run that is cancelled before its start is recorded is taken away: {lost}"
            );
        }
        worker.signal(Signal::SIGTERM);
        let ended = worker.end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    let (refused, closed) = (retries.refused.load(Ordering::Relaxed), retries.closed.load(Ordering::Relaxed));
    println!("{runs} runs; {refused} calls were refused with a time to retry, {closed} found the connection closed");
}
