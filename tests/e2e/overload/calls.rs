//! More calls than may wait.

use std::time::Duration;

use proto::v1::*;
use tokio::task::JoinSet;

use super::{assert_overloaded, busy};
use crate::support::{Fixture, eventually, reason, spec, waiting_for_locks};

/// Long enough that no lock of these tests times out, however slow the machine is.
const DEADLINE: Duration = Duration::from_secs(600);

/// More calls than may wait for a batch.
const CALLS: usize = 10_600;

#[tokio::test(flavor = "multi_thread")]
async fn calls_over_the_queue_limit_are_refused_and_workers_continue() {
    let fixture = Fixture::with(1, |config| {
        config.database.deadline = DEADLINE;
        config.limits.calls = 2 * CALLS;
    })
    .await;
    let session = fixture.session().await;
    let (mut stream, lease) = busy(&fixture, &session).await;
    // Every enqueue waits for this lock.
    let mut foreign = fixture.sql().await;
    let lock = "BEGIN; LOCK TABLE ops.session_deltas IN SHARE MODE";
    sqlx::raw_sql(lock).execute(&mut foreign).await.expect("it is locked");
    let mut clients = Vec::new();
    for _ in 0..60 {
        clients.push(fixture.servers[0].dial().await);
    }
    let mut calls = JoinSet::new();
    for call in 0..CALLS {
        let mut runs = clients[call % clients.len()].runs();
        let request = EnqueueRunRequest { run: Some(spec(&session, "many")) };
        calls.spawn(async move { runs.enqueue_run(request).await });
    }
    // Only refused calls are answered now; all others wait.
    waiting_for_locks(&fixture, &mut fixture.sql().await, 1).await;
    let refused = calls.join_next().await.expect("there are calls").expect("the callers do not panic");
    assert_overloaded(&refused.expect_err("it is too much"));
    for _ in 0..5 {
        let ack = stream.heartbeat(std::slice::from_ref(&lease)).await;
        assert!(!ack.frozen && ack.lost.is_empty(), "heartbeats do not wait");
    }
    sqlx::raw_sql("ROLLBACK").execute(&mut foreign).await.expect("it is unlocked");
    let mut taken = 0;
    while let Some(answer) = calls.join_next().await {
        match answer.expect("the callers do not panic") {
            Ok(_) => taken += 1,
            Err(refused) => assert_eq!(reason(&refused), "OVERLOADED"),
        }
    }
    assert!(taken >= 10_000, "{taken}");
    assert_eq!(fixture.session_now(&session).await.total_runs, taken + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_limit_bounds_runs_and_not_only_calls() {
    let fixture = Fixture::with(1, |config| config.database.deadline = DEADLINE).await;
    let session = fixture.session().await;
    let mut foreign = fixture.sql().await;
    let lock = "BEGIN; LOCK TABLE ops.session_deltas IN SHARE MODE";
    sqlx::raw_sql(lock).execute(&mut foreign).await.expect("it is locked");
    let mut calls = JoinSet::new();
    for _ in 0..12 {
        let mut runs = fixture.runs();
        let request = EnqueueRunsRequest { runs: vec![spec(&session, "many"); 10_000] };
        calls.spawn(async move { runs.enqueue_runs(request).await });
    }
    for _ in 0..2 {
        let refused = calls.join_next().await.expect("there are calls").expect("the callers do not panic");
        assert_overloaded(&refused.expect_err("ten may wait"));
    }
    // Calls whose callers are gone are dropped. Only the batch in flight is written.
    calls.shutdown().await;
    sqlx::raw_sql("ROLLBACK").execute(&mut foreign).await.expect("it is unlocked");
    eventually("there is room again", async || fixture.enqueue_spec(spec(&session, "last")).await.ok()).await;
    let total = fixture.session_now(&session).await.total_runs;
    assert!(total <= 20_001, "{total}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_over_the_limit_of_open_calls_are_refused_before_they_are_read() {
    let fixture = Fixture::with(1, |config| {
        config.database.deadline = DEADLINE;
        config.limits.calls = 3;
    })
    .await;
    let session = fixture.session().await;
    let (mut stream, lease) = busy(&fixture, &session).await;
    // Every enqueue into this session waits for this lock.
    let (mut foreign, locked) = (fixture.sql().await, fixture.session().await);
    sqlx::raw_sql("BEGIN").execute(&mut foreign).await.expect("it begins");
    let lock = "SELECT FROM ops.sessions WHERE id::text = $1 FOR UPDATE";
    sqlx::query(lock).bind(&locked).execute(&mut foreign).await.expect("it is locked");
    let mut calls = JoinSet::new();
    for _ in 0..4 {
        let mut runs = fixture.runs();
        let request = EnqueueRunRequest { run: Some(spec(&locked, "many")) };
        calls.spawn(async move { runs.enqueue_run(request).await });
    }
    let refused = calls.join_next().await.expect("there are calls").expect("the callers do not panic");
    assert_overloaded(&refused.expect_err("three are answered"));
    // Bad input is refused for the same reason, because it is not read.
    let unread = fixture.enqueue_spec(RunSpec::default()).await;
    assert_overloaded(&unread.expect_err("three are answered"));

    let wait_timeout = Some(prost_types::Duration { seconds: 0, nanos: 1 });
    let request = WaitRunRequest { run_id: lease.run_id.clone(), wait_timeout };
    fixture.runs().wait_run(request).await.expect("a call that waits does not count");
    assert!(!stream.heartbeat(std::slice::from_ref(&lease)).await.frozen);
    fixture.cancel(&lease.run_id).await;
    assert_eq!(stream.cancel().await.run_id, lease.run_id, "cancels pass");

    sqlx::raw_sql("ROLLBACK").execute(&mut foreign).await.expect("it is unlocked");
    while let Some(answer) = calls.join_next().await {
        answer.expect("the callers do not panic").expect("it was taken in");
    }
    fixture.enqueue(&session, "any").await;
}
