//! Transactions commit in another order than they begin, and foreign ones stay open for long.

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
async fn a_watcher_sees_a_run_that_commits_late() {
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
async fn a_watch_resumed_with_a_token_sees_a_run_that_commits_after_it() {
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
    assert!(!second.runs.contains_key(&early.id), "a change before the token is not repeated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_never_sees_a_run_that_is_rolled_back() {
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
async fn an_open_foreign_transaction_delays_neither_changes_nor_cancels() {
    let fixture = Fixture::with(2, |_| {}).await;
    let session = fixture.session().await;
    // It writes, holds a snapshot, and stays open until the end of the test.
    let mut sql = fixture.sql().await;
    let mut foreign = sql.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await.expect("it begins");
    enqueue_in_tx(&mut foreign, &session).await;
    for pass in 0..3 {
        let mut watcher = Watcher::all(&fixture.servers[1]).await;
        let run = fixture.enqueue(&session, "any").await;
        watcher.sees(&run.id, RunStatus::Queued).await;
        let mut stream = Stream::open(&fixture.servers[0]).await;
        stream.credit(1);
        let lease = stream.begin().await;
        watcher.sees(&run.id, RunStatus::Running).await;
        fixture.cancel(&run.id).await;
        assert_eq!(stream.cancel().await.run_id, run.id);
        assert_eq!(stream.finish(&lease, cancelled()).await, "");
        watcher.sees(&run.id, RunStatus::Cancelled).await;
        let ended = fixture.ended(&run.id).await;
        assert_eq!(ended.status(), RunStatus::Cancelled);
        assert_eq!(fixture.session_now(&session).await.cancelled_runs, pass + 1);
    }
    // A session can be closed although the foreign transaction has enqueued into another one.
    let other = fixture.session().await;
    assert!(fixture.close(&other).await.close_time.is_some());
    foreign.rollback().await.expect("it was open all the time");
}
