//! Workers without a stream: each claim gets its runs, once, however calls overlap.

use engine::store::run::claim::{ClaimKey, run_claim_undo_in_tx};
use proto::v1::*;
use sqlx::Connection;

use crate::support::{Fixture, Stream, Unary, eventually, in_time, spec, succeeded, waiting_for_locks};

/// Each claim waits for this lock, because it writes its leases.
const HOLD_CLAIMS: &str = "LOCK TABLE ops.run_leases IN SHARE MODE";

fn one(request_id: &str) -> ClaimRequest {
    let wait = Some(prost_types::Duration { seconds: 20, nanos: 0 });
    ClaimRequest { request_id: request_id.to_owned(), wait, ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_claimed_by_a_superseded_call_can_be_claimed_again() {
    let fixture = Fixture::new().await;
    let runs = fixture.enqueue_many(&fixture.session().await, "any", 2).await;
    let (mut sql, mut looking) = (fixture.sql().await, fixture.sql().await);
    let mut held = sql.begin().await.expect("it begins");
    sqlx::query(HOLD_CLAIMS).execute(&mut *held).await.expect("it is not locked");
    let mut first = Unary::new(&fixture.servers[0], "unary");
    let mut again = Unary::new(&fixture.servers[0], "unary");
    let repeated = async {
        waiting_for_locks(&fixture, &mut looking, 1).await;
        again.claim(one("same")).await.expect("it claims")
    };
    let replaced = async {
        // The first call ends as soon as the second has superseded it.
        first.claim(one("same")).await.expect_err("the repeated call supersedes it");
        held.rollback().await.expect("the lock is released");
    };
    let (given, ()) = tokio::join!(repeated, replaced);
    let given = given[0].run.as_ref().expect("an assignment names its run").id.clone();
    let other = runs.iter().find(|run| **run != given).expect("there are two");
    eventually("the other can be claimed", async || {
        (fixture.get(other).await.status() == RunStatus::Queued).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_returned_by_a_repeated_claim_counts_as_delivered() {
    let fixture = Fixture::new().await;
    let run = fixture.enqueue(&fixture.session().await, "any").await;
    let mut worker = Unary::new(&fixture.servers[0], "unary");
    let first = worker.claim(one("same")).await.expect("it claims");
    let again = worker.claim(one("same")).await.expect("it is the same call");
    assert_eq!((again.len(), again[0].fence), (1, first[0].fence));
    let lost = "SELECT claim_number IS NOT NULL FROM ops.runs WHERE id = $1::text::uuid";
    let lost: bool =
        sqlx::query_scalar(lost).bind(&run.id).fetch_one(&mut fixture.sql().await).await.expect("it is read");
    assert!(!lost, "a claim without an answer would be taken back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_a_lost_claim_is_queued_again_or_cancelled_if_a_cancel_was_requested() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let runs = fixture.enqueue_many(&session, "any", 2).await;
    let mut worker = Unary::new(&fixture.servers[0], "unary");
    let claimed = worker.claim(ClaimRequest { max_runs: 2, ..Default::default() }).await.expect("it claims");
    assert_eq!(claimed.len(), 2);
    fixture.cancel(&runs[0]).await;
    let mut sql = fixture.sql().await;
    let key = "SELECT server_id, claim_number FROM ops.runs WHERE id = $1::text::uuid";
    let (server_id, number) = sqlx::query_as(key).bind(&runs[0]).fetch_one(&mut sql).await.expect("it is claimed");
    let mut undo = sql.begin().await.expect("it begins");
    let (released, _) =
        run_claim_undo_in_tx(&mut undo, ClaimKey { server_id, number }).await.expect("it is given back");
    undo.commit().await.expect("it is committed");
    assert_eq!(released, 2);
    let (cancelled, queued) = (fixture.get(&runs[0]).await, fixture.get(&runs[1]).await);
    assert_eq!((cancelled.status(), queued.status()), (RunStatus::Cancelled, RunStatus::Queued));
    assert_eq!((cancelled.attempt, queued.attempt), (0, 0));
    assert_eq!(cancelled.cancellation.expect("it was requested").confirmed, Some(true));
    assert_eq!(fixture.session_now(&session).await.cancelled_runs, 1);
    let orders: i64 =
        sqlx::query_scalar("SELECT count(*) FROM ops.run_cancels").fetch_one(&mut sql).await.expect("read");
    assert_eq!(orders, 0, "no worker is asked to stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_claim_without_a_wait_gets_a_run_if_there_are_enough() {
    const CALLS: usize = 150;
    let fixture = Fixture::new().await;
    fixture.enqueue_many(&fixture.session().await, "any", CALLS).await;
    let (mut sql, mut looking) = (fixture.sql().await, fixture.sql().await);
    let mut held = sql.begin().await.expect("it begins");
    sqlx::query(HOLD_CLAIMS).execute(&mut *held).await.expect("it is not locked");
    // This claim finds nothing, so the next batch is small.
    let mut before = Unary::new(&fixture.servers[0], "before");
    let before = before.claim(ClaimRequest { kinds: vec!["none".to_owned()], ..Default::default() });
    let calls = async {
        waiting_for_locks(&fixture, &mut looking, 1).await;
        let call = async |name: usize| {
            let mut worker = Unary::new(&fixture.servers[0], &format!("unary-{name}"));
            worker.claim(ClaimRequest::default()).await.expect("it claims").len()
        };
        let let_go = async {
            eventually("all are known", async || {
                let workers = sqlx::query_scalar("SELECT count(*) FROM ops.workers").fetch_one(&mut looking).await;
                let workers: i64 = workers.expect("they are counted");
                (workers as usize == CALLS + 1).then_some(())
            })
            .await;
            held.rollback().await.expect("the lock is released");
        };
        let (given, ()) = tokio::join!(futures::future::join_all((0..CALLS).map(call)), let_go);
        given
    };
    let (before, given) = tokio::join!(before, in_time("all are answered", calls));
    assert_eq!(before.expect("it claims"), []);
    assert_eq!(given.iter().sum::<usize>(), CALLS, "{given:?}");
}

/// One worker takes any kind, the other only kind `x`.
#[tokio::test(flavor = "multi_thread")]
async fn groups_of_workers_that_take_the_same_runs_take_turns() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let mut of_any = Stream::open(&fixture.servers[0]).await;
    let mut of_one =
        Stream::open_with(&fixture.servers[0], Hello { kinds: vec!["x".into()], ..crate::support::hello("one") }).await;
    of_any.credit(100);
    of_one.credit(100);
    let mut given = (0, 0);
    for _ in 0..20 {
        fixture.enqueue_spec(spec(&session, "x")).await.expect("it is enqueued");
        tokio::select! {
            lease = of_any.begin() => {
                given.0 += 1;
                assert_eq!(of_any.finish(&lease, succeeded("1")).await, "");
            }
            lease = of_one.begin() => {
                given.1 += 1;
                assert_eq!(of_one.finish(&lease, succeeded("1")).await, "");
            }
        }
    }
    // The second group of a batch may still get a run that arrived during the claim of the first.
    assert!(given.0.min(given.1) >= 4, "{given:?}");
}
