//! Commits do not come in the order in which they began, and strangers take their time.

use proto::v1::*;
use sqlx::{Connection, PgConnection};

use crate::support::{Fixture, Stream, Watcher, cancelled};

/// Enqueues by SQL in the caller's transaction.
async fn enqueue_in_tx(c: &mut PgConnection, session: &str) -> String {
    sqlx::query("SELECT set_config('ops.tenant_id', 'default', true)").execute(&mut *c).await.expect("a tenant is set");
    let enqueue = "SELECT ops.enqueue_run($1::text::uuid, 'A', 'slow')::text";
    sqlx::query_scalar(enqueue).bind(session).fetch_one(c).await.expect("it is enqueued")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_commits_late_is_seen_by_who_watches() {
    let fixture = Fixture::with(2, |_| {}).await;
    let session = fixture.session().await;
    let mut watchers = Vec::new();
    for server in &fixture.servers {
        watchers.push(Watcher::all(server).await);
    }
    let mut sql = fixture.sql().await;
    let mut slow = sql.begin().await.expect("it begins");
    let late = enqueue_in_tx(&mut slow, &session).await;
    for _ in 0..5 {
        let early = fixture.enqueue(&session, "any").await;
        for watcher in &mut watchers {
            watcher.sees(&early.id, RunStatus::Queued).await;
        }
    }
    assert!(watchers.iter().all(|watcher| !watcher.runs.contains_key(&late)));
    slow.commit().await.expect("it is committed");
    for watcher in &mut watchers {
        watcher.sees(&late, RunStatus::Queued).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_commits_after_a_token_was_told_is_seen_by_who_resumes_with_it() {
    let fixture = Fixture::with(2, |_| {}).await;
    let session = fixture.session().await;
    let mut first = Watcher::all(&fixture.servers[0]).await;
    let mut sql = fixture.sql().await;
    let mut slow = sql.begin().await.expect("it begins");
    let late = enqueue_in_tx(&mut slow, &session).await;
    let early = fixture.enqueue(&session, "any").await;
    first.sees(&early.id, RunStatus::Queued).await;
    let token = first.bookmark().await;
    drop(first);
    slow.commit().await.expect("it is committed");
    let mut second = Watcher::resume(&fixture.servers[1], &token).await.expect("the token is good");
    second.sees(&late, RunStatus::Queued).await;
    assert!(!second.runs.contains_key(&early.id), "what the token has seen does not come again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rolled_back_is_never_seen() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let mut watcher = Watcher::all(&fixture.servers[0]).await;
    let mut sql = fixture.sql().await;
    let mut undecided = sql.begin().await.expect("it begins");
    let never = enqueue_in_tx(&mut undecided, &session).await;
    undecided.rollback().await.expect("it is undone");
    let run = fixture.enqueue(&session, "any").await;
    watcher.sees(&run.id, RunStatus::Queued).await;
    assert!(!watcher.runs.contains_key(&never));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_open_transaction_delays_neither_changes_nor_cancels() {
    let fixture = Fixture::with(2, |_| {}).await;
    let session = fixture.session().await;
    // It writes, holds a snapshot, and stays open until all the rest has happened.
    let mut sql = fixture.sql().await;
    let mut stranger = sql.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await.expect("it begins");
    enqueue_in_tx(&mut stranger, &session).await;
    for round in 0..3 {
        let mut watcher = Watcher::all(&fixture.servers[1]).await;
        let run = fixture.enqueue(&session, "any").await;
        watcher.sees(&run.id, RunStatus::Queued).await;
        let mut stream = Stream::open(&fixture.servers[0]).await;
        stream.credit(1);
        let lease = stream.begin().await;
        watcher.sees(&run.id, RunStatus::Running).await;
        fixture.cancel(&run.id).await;
        assert_eq!(stream.cancel().await.run_id, run.id);
        assert_eq!(stream.ends(&lease, cancelled()).await, "");
        watcher.sees(&run.id, RunStatus::Cancelled).await;
        let ended = fixture.ended(&run.id).await;
        assert_eq!(ended.status(), RunStatus::Cancelled);
        assert_eq!(fixture.session_now(&session).await.cancelled_runs, round + 1);
    }
    // A session is closed although the stranger has enqueued into another: only its own waits for it.
    let other = fixture.session().await;
    assert!(fixture.close(&other).await.close_time.is_some());
    stranger.rollback().await.expect("it was open all the time");
}
