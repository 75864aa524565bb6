//! Claims of several at the head of one queue: they take turns, and what stays locked there is in nobody's way.

use proto::v1::RunStatus;
use sqlx::Connection;

use crate::support::{House, Stream, eventually, waiting_for_locks};

/// Locks runs as a claim does that has not come to its end.
async fn lock(c: &mut sqlx::PgConnection, runs: &[String]) {
    let lock = "SELECT FROM ops.runs WHERE id = ANY ($1::text[]::uuid[]) FOR NO KEY UPDATE";
    sqlx::query(lock).bind(runs).execute(c).await.expect("they are free");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_behind_runs_that_stay_locked_is_claimed() {
    let house = House::new().await;
    let runs = house.enqueue_many(&house.session().await, "any", 700).await;
    let mut sql = house.sql().await;
    let mut held = sql.begin().await.expect("it begins");
    lock(&mut held, &runs[..600]).await;

    let mut stream = Stream::open(&house.servers[0]).await;
    stream.credit(1);
    assert_eq!(stream.assigned().await.0.id, runs[600]);
    stream.credit(101);
    for run in &runs[601..] {
        assert_eq!(stream.assigned().await.0.id, *run);
    }
    held.rollback().await.expect("it lets go");
    assert_eq!(stream.assigned().await.0.id, runs[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_meets_others_waits_for_its_turn_but_not_for_ever() {
    let house = House::new().await;
    let runs = house.enqueue_many(&house.session().await, "any", 3).await;
    let (mut sql, mut other, mut looking) = (house.sql().await, house.sql().await, house.sql().await);
    let mut claiming = sql.begin().await.expect("it begins");
    lock(&mut claiming, &runs[..1]).await;
    let mut hung = other.begin().await.expect("it begins");
    let turn = "SELECT pg_advisory_xact_lock(hashtext('ops.claim'), hashtext('default'))";
    sqlx::query(turn).execute(&mut *hung).await.expect("nobody else has it");

    let mut stream = Stream::open(&house.servers[0]).await;
    stream.credit(1);
    waiting_for_locks(&house, &mut looking, 1).await;
    assert_eq!(stream.assigned().await.0.id, runs[1], "the turn does not come");
    stream.credit(2);
    assert_eq!(stream.assigned().await.0.id, runs[2]);
    claiming.rollback().await.expect("it lets go");
    eventually("the first can be claimed, too", async || {
        stream.credit(3);
        (house.get(&runs[0]).await.status() == RunStatus::Claimed).then_some(())
    })
    .await;
    hung.rollback().await.expect("it lets go");
}
