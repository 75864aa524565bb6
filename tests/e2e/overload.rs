//! More than a server takes in is refused, and says when to come back; workers go first.

use proto::v1::run_service_client::RunServiceClient;
use proto::v1::*;
use tokio::task::JoinSet;
use tonic_types::StatusExt;

use crate::support::{House, Stream, reason, spec, waiting_for_locks};

/// More calls than may wait for a round.
const CALLS: usize = 10_600;

#[tokio::test(flavor = "multi_thread")]
async fn calls_beyond_what_may_wait_are_refused_and_workers_go_on() {
    let house = House::with(1, |config| config.database.deadline = std::time::Duration::from_secs(60)).await;
    let session = house.session().await;
    house.enqueue(&session, "any").await;
    let mut stream = Stream::open(&house.servers[0]).await;
    stream.credit(1);
    let lease = stream.begin().await;
    house.running(&lease.run_id).await;
    // Whoever holds this lock holds up every enqueue.
    let mut stranger = house.sql().await;
    let lock = "BEGIN; LOCK TABLE ops.session_deltas IN SHARE MODE";
    sqlx::raw_sql(lock).execute(&mut stranger).await.expect("it is locked");
    let mut channels = Vec::new();
    for _ in 0..60 {
        channels.push(house.servers[0].dial().await);
    }
    let mut calls = JoinSet::new();
    for call in 0..CALLS {
        let mut runs = RunServiceClient::new(channels[call % channels.len()].clone());
        let request = EnqueueRunRequest { run: Some(spec(&session, "many")) };
        calls.spawn(async move { runs.enqueue_run(request).await });
    }
    // The first to be answered are those that are refused: all others wait.
    waiting_for_locks(&house, &mut house.sql().await, 1).await;
    let refused = calls.join_next().await.expect("there are calls").expect("the callers do not panic");
    let refused = refused.expect_err("it is too much");
    assert_eq!((refused.code(), reason(&refused)), (tonic::Code::ResourceExhausted, "OVERLOADED".into()));
    let retry = refused.get_details_retry_info().and_then(|info| info.retry_delay);
    assert!(retry.is_some_and(|delay| !delay.is_zero()), "{refused:?}");
    for _ in 0..5 {
        let ack = stream.heartbeat(std::slice::from_ref(&lease)).await;
        assert!(!ack.frozen && ack.lost.is_empty(), "heartbeats do not wait");
    }
    sqlx::raw_sql("ROLLBACK").execute(&mut stranger).await.expect("it is unlocked");
    let mut taken = 0;
    while let Some(answer) = calls.join_next().await {
        match answer.expect("the callers do not panic") {
            Ok(_) => taken += 1,
            Err(refused) => assert_eq!(reason(&refused), "OVERLOADED"),
        }
    }
    assert!(taken >= 10_000, "{taken}");
    assert_eq!(house.session_now(&session).await.total_runs, taken + 1);
}
