//! What a watch sends, as it happens.

use proto::v1::watch_runs_response::Event;
use proto::v1::*;

use crate::support::{Fixture, Stream, Watcher, eventually, failed, spec, succeeded};

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_sees_each_state_of_a_run_also_through_another_replica() {
    let fixture = Fixture::with(2, |_| {}).await;
    let mut watcher = Watcher::all(&fixture.servers[1]).await;
    let session = fixture.session().await;
    let run = fixture.enqueue(&session, "any").await;
    watcher.sees(&run.id, RunStatus::Queued).await;
    assert_eq!(watcher.runs[&run.id], run, "the run as it is");
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    let (_, lease) = stream.assigned().await;
    watcher.sees(&run.id, RunStatus::Claimed).await;
    stream.accept(std::slice::from_ref(&lease));
    watcher.sees(&run.id, RunStatus::Running).await;
    fixture.cancel(&run.id).await;
    watcher.until(|runs| runs[&run.id].cancellation.is_some()).await;
    assert_eq!(stream.finish(&lease, succeeded("1")).await, "");
    watcher.sees(&run.id, RunStatus::Succeeded).await;
    assert_eq!(watcher.runs[&run.id], fixture.get(&run.id).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_sees_progress() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let run = fixture.enqueue(&session, "any").await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    let lease = stream.begin().await;
    let mut watcher = Watcher::all(&fixture.servers[0]).await;
    let progress = Some(Progress { fraction: 0.5, message: "half".into() });
    let progress = vec![RunProgress { run_id: run.id.clone(), fence: lease.fence, progress: progress.clone() }];
    let leases = vec![lease];
    stream.send(connect_request::Frame::Heartbeat(WorkerHeartbeat { leases, progress, pause: None }));
    watcher
        .until(|runs| runs.get(&run.id).and_then(|run| run.progress.as_ref()).is_some_and(|p| p.message == "half"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_brings_the_runs_that_match_now_and_changes_follow() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    // More than one page of 500.
    let before = fixture.enqueue_many(&session, "any", 1_203).await;
    fixture.enqueue_many(&session, "other", 10).await;
    let filter = Some(RunFilter { kinds: vec!["any".into()], ..Default::default() });
    let request = WatchRunsRequest { filter, include_snapshot: true, ..Default::default() };
    let mut watcher = Watcher::open(&fixture.servers[0], request).await.expect("the watch is accepted");
    let mut pages = 0;
    loop {
        match watcher.next().await {
            Event::Snapshot(page) => {
                assert!((1..=500).contains(&page.runs.len()), "{}", page.runs.len());
                pages += 1;
            }
            Event::SnapshotComplete(_) => break,
            other => panic!("expected a page of the snapshot, got {other:?}"),
        }
    }
    assert!(pages >= 3, "{pages}");
    assert_eq!(watcher.runs.len(), before.len());
    assert!(before.iter().all(|id| watcher.runs.contains_key(id)) && !watcher.token.is_empty());
    fixture.cancel(&before[0]).await;
    watcher.sees(&before[0], RunStatus::Cancelled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_no_longer_matches_leaves_and_one_that_never_did_is_not_sent() {
    let fixture = Fixture::new().await;
    let (mine, other) = (fixture.session().await, fixture.session().await);
    let filter = RunFilter { session_id: mine.clone(), statuses: vec![RunStatus::Queued.into()], ..Default::default() };
    let request = WatchRunsRequest { filter: Some(filter), ..Default::default() };
    let mut watcher = Watcher::open(&fixture.servers[0], request).await.expect("the watch is accepted");
    fixture.enqueue(&other, "any").await;
    let run = fixture.enqueue(&mine, "any").await;
    watcher.sees(&run.id, RunStatus::Queued).await;
    let revision = fixture.cancel(&run.id).await.revision;
    match watcher.news().await {
        Event::LeftFilter(left) => assert_eq!((left.run_id, left.revision), (run.id.clone(), revision)),
        other => panic!("expected that the run leaves, got {other:?}"),
    }
    assert_eq!(watcher.runs.len(), 1, "nothing was sent of the other session");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_filters_by_labels_and_lanes() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let labels = std::collections::BTreeMap::from([("team".to_owned(), "red".to_owned())]);
    let filter = RunFilter { lanes: vec![Lane::B.into()], labels: labels.clone(), ..Default::default() };
    let request = WatchRunsRequest { filter: Some(filter), ..Default::default() };
    let mut watcher = Watcher::open(&fixture.servers[0], request).await.expect("the watch is accepted");
    let red = |lane: Lane| RunSpec { lane: lane.into(), labels: labels.clone(), ..spec(&session, "any") };
    fixture.enqueue_spec(red(Lane::A)).await.expect("it is enqueued");
    fixture.enqueue_spec(RunSpec { lane: Lane::B.into(), ..spec(&session, "any") }).await.expect("it is enqueued");
    let matching = fixture.enqueue_spec(red(Lane::B)).await.expect("it is enqueued");
    watcher.sees(&matching.id, RunStatus::Queued).await;
    assert_eq!(watcher.runs.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_sees_that_a_run_was_deleted() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let run = fixture.enqueue(&session, "any").await;
    let mut watcher = Watcher::all(&fixture.servers[0]).await;
    sqlx::query("DELETE FROM ops.runs").execute(&mut fixture.sql().await).await.expect("it is deleted");
    match watcher.news().await {
        Event::Deleted(deleted) => assert_eq!(deleted.run_id, run.id),
        other => panic!("expected that the run is deleted, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bookmarks_come_while_nothing_happens_and_a_stopping_server_says_goodbye_with_a_token() {
    let mut fixture = Fixture::with(2, |_| {}).await;
    let mut watcher = Watcher::all(&fixture.servers[1]).await;
    let first = watcher.bookmark().await;
    assert_ne!(watcher.bookmark().await, first, "each bookmark has its own position");
    let server = fixture.servers.remove(1);
    let goodbye = async {
        match watcher.news().await {
            Event::Goodbye(goodbye) => goodbye,
            other => panic!("expected a goodbye, got {other:?}"),
        }
    };
    let (goodbye, ()) = tokio::join!(goodbye, server.stop());
    assert_eq!(goodbye.reason(), WatchGoodbyeReason::ShuttingDown);

    let session = fixture.session().await;
    let run = fixture.enqueue(&session, "any").await;
    let mut again = Watcher::resume(&fixture.servers[0], &goodbye.resume_token).await.expect("the token is good");
    again.sees(&run.id, RunStatus::Queued).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_sees_retries_and_lost_leases() {
    let fixture = Fixture::with(2, |_| {}).await;
    let session = fixture.session().await;
    let mut watcher = Watcher::all(&fixture.servers[1]).await;
    let run = fixture.enqueue_spec(RunSpec { max_attempts: Some(2), ..spec(&session, "any") }).await;
    let run = run.expect("it is enqueued");
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    let lease = stream.begin().await;
    assert_eq!(stream.finish(&lease, failed("First")).await, "");
    watcher
        .until(|runs| runs.get(&run.id).is_some_and(|run| run.status() == RunStatus::Queued && run.attempt == 1))
        .await;
    stream.credit(2);
    stream.begin().await;
    watcher.until(|runs| runs[&run.id].status() == RunStatus::Running).await;
    crate::support::passes(&mut fixture.sql().await, 3600).await;
    watcher.sees(&run.id, RunStatus::Failed).await;
    eventually("it is counted", async || (fixture.session_now(&session).await.failed_runs == 1).then_some(())).await;
}
