//! Many changes: no gap while runs are enqueued and end, and a slow watcher misses no end.

use std::collections::{BTreeMap, BTreeSet};

use proto::v1::watch_runs_response::Event;
use proto::v1::*;
use serde_json::Value;
use tokio::task::JoinSet;
use tonic::Streaming;

use crate::support::{Fixture, Handle, LiveWorker, Watcher, in_time, spec};

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_under_load_and_the_changes_after_it_leave_no_gap() {
    let fixture = Fixture::with(2, |_| {}).await;
    let session = fixture.session().await;
    let nothing = Handle::new(|_| async { Ok(Value::Null) });
    let crew = [
        LiveWorker::start(&[&fixture.servers[0]], 8, "quick", &nothing),
        LiveWorker::start(&[&fixture.servers[1]], 8, "quick", &nothing),
    ];
    let mut enqueuers = JoinSet::new();
    for caller in 0..8 {
        let mut runs = fixture.servers[caller % 2].runs();
        let spec = spec(&session, "quick");
        enqueuers.spawn(async move {
            let mut ids = Vec::new();
            for _ in 0..100 {
                let request = EnqueueRunRequest { run: Some(spec.clone()) };
                let answered = runs.enqueue_run(request).await.expect("it is enqueued");
                ids.push(answered.into_inner().run.expect("it is answered").id);
            }
            ids
        });
    }
    // The watches start one after the other while runs are enqueued.
    let mut watchers = Vec::new();
    for watcher in 0..4 {
        let request = WatchRunsRequest { include_snapshot: true, ..Default::default() };
        let server = &fixture.servers[watcher % 2];
        let mut watcher = Watcher::open(server, request).await.expect("the watch is accepted");
        while !matches!(watcher.next().await, Event::SnapshotComplete(_)) {}
        watchers.push(watcher);
    }
    let mut ids = BTreeSet::new();
    while let Some(enqueued) = enqueuers.join_next().await {
        ids.extend(enqueued.expect("the callers do not panic"));
    }
    assert_eq!(ids.len(), 800);
    for watcher in &mut watchers {
        let all = |runs: &BTreeMap<String, Run>| {
            runs.len() == ids.len() && runs.values().all(|run| run.status() == RunStatus::Succeeded)
        };
        watcher.until(all).await;
        assert_eq!(watcher.runs.keys().cloned().collect::<BTreeSet<_>>(), ids);
    }
    drop(crew);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_does_not_read_delays_nobody_and_gets_each_end_state() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    // On a connection of its own, because unread data stays in it.
    let mut client = fixture.servers[0].dial().await.runs();
    let mut slow = client.watch_runs(WatchRunsRequest::default()).await.expect("the watch is accepted").into_inner();
    let filter = Some(RunFilter { kinds: vec!["last".into()], ..Default::default() });
    let request = WatchRunsRequest { filter, ..Default::default() };
    let mut quick = Watcher::open(&fixture.servers[0], request).await.expect("the watch is accepted");

    // Far more changes than may wait for a watcher, in several steps, so that its buffer overflows more than once.
    let mut ids = BTreeSet::new();
    for step in 0..3 {
        ids.extend(fixture.enqueue_many(&session, "any", 8_000).await);
        let last = fixture.enqueue(&session, "last").await;
        quick.sees(&last.id, RunStatus::Queued).await;
        if step == 1 {
            // It reads one message, and stops again.
            in_time("a message", slow.message()).await.expect("the watch continues");
        }
    }
    let request = CancelSessionRequest { session_id: session.clone(), reason: "enough".into(), grace: None };
    fixture.sessions().cancel_session(request).await.expect("it is there");
    quick.until(|runs| runs.len() == 3 && runs.values().all(|run| run.status() == RunStatus::Cancelled)).await;

    in_time("each end state at the slow watcher", read_all(&mut slow, ids)).await;
}

/// Reads until each of these runs was sent as cancelled.
async fn read_all(slow: &mut Streaming<WatchRunsResponse>, mut ids: BTreeSet<String>) {
    let mut revisions = BTreeMap::new();
    while !ids.is_empty() {
        let message = slow.message().await.expect("the watch continues").expect("the watch continues");
        match message.event.expect("a message says something") {
            Event::Change(change) => {
                let run = change.run.expect("a change brings its run");
                let before = revisions.insert(run.id.clone(), run.revision);
                assert!(before.is_none_or(|before| before <= run.revision), "a run went backwards");
                if run.status() == RunStatus::Cancelled {
                    ids.remove(&run.id);
                }
            }
            Event::Bookmark(_) => {}
            other => panic!("expected changes, got {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_in_a_snapshot_that_is_read_slowly_does_not_go_backwards_after_it() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    // The oldest run is in the last page, behind far more runs than may wait to be read.
    let oldest = fixture.enqueue(&session, "oldest").await;
    fixture.enqueue_many(&session, "any", 10_000).await;
    let mut quick = Watcher::all(&fixture.servers[0]).await;
    let mut client = fixture.servers[0].dial().await.runs();
    let request = WatchRunsRequest { include_snapshot: true, ..Default::default() };
    let mut slow = client.watch_runs(request).await.expect("the watch is accepted").into_inner();
    let cancelled = fixture.cancel(&oldest.id).await;
    quick.sees(&oldest.id, RunStatus::Cancelled).await;
    // A newer revision than the one that was sent, without a change in the feed.
    let newer = "UPDATE ops.runs SET revision = revision + 1 WHERE kind = 'oldest'";
    sqlx::query(newer).execute(&mut fixture.sql().await).await.expect("it is newer");
    let after = fixture.enqueue(&session, "after").await;

    let reading = async {
        let mut revisions = Vec::new();
        loop {
            let message = slow.message().await.expect("the watch continues").expect("the watch continues");
            let runs = match message.event.expect("a message says something") {
                Event::Snapshot(page) => page.runs,
                Event::Change(change) => change.run.into_iter().collect(),
                _ => Vec::new(),
            };
            revisions.extend(runs.iter().filter(|run| run.id == oldest.id).map(|run| run.revision));
            if runs.iter().any(|run| run.id == after.id) {
                return revisions;
            }
        }
    };
    let revisions = in_time("the changes after the snapshot", reading).await;
    assert!(revisions.is_sorted(), "{revisions:?}");
    assert_eq!(revisions.last(), Some(&(cancelled.revision + 1)), "the snapshot was read after that");
}
