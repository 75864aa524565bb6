//! Workers without a stream: each claim gets its runs, once, however calls overlap.

use std::sync::Arc;

use client::{Client, Settings};
use engine::domain::TenantId;
use engine::store::request::claim_call::ClaimCall;
use engine::store::run::claim::{ClaimKey, run_claim_undo_in_tx};
use proto::v1::*;
use sqlx::Connection;

use crate::support::{
    Fixture, Flow, Relay, Stream, Unary, eventually, hello, in_time, reason, spec, succeeded, waiting_for_locks,
};

/// Each claim waits for this lock, because it writes its leases.
const HOLD_CLAIMS: &str = "LOCK TABLE ops.run_leases IN SHARE MODE";

fn one(request_id: &str) -> ClaimRequest {
    let wait = Some(prost_types::Duration { seconds: 20, nanos: 0 });
    ClaimRequest { request_id: request_id.to_owned(), wait, ..Default::default() }
}

/// Waits until a claim waits for the lock of `HOLD_CLAIMS`.
async fn claim_is_held(fixture: &Fixture, sql: &mut sqlx::PgConnection) {
    eventually("a claim waits", async || {
        let statement = "SELECT count(*) > 0 FROM pg_stat_activity
                         WHERE datname = $1 AND wait_event_type = 'Lock' AND wait_event = 'relation'";
        let held = sqlx::query_scalar(statement).bind(&fixture.database.name).fetch_one(&mut *sql).await;
        let held: bool = held.expect("it is read");
        held.then_some(())
    })
    .await;
}

/// The newest call with this request id.
async fn newest_call(sql: &mut sqlx::PgConnection, request_id: &str) -> Option<String> {
    let statement = "SELECT call_id::text FROM ops.request_ids WHERE scope = 'Claim' AND request_id = $1";
    sqlx::query_scalar(statement).bind(request_id).fetch_optional(sql).await.expect("it is read").flatten()
}

fn leases(assignments: &[Assignment]) -> Vec<Lease> {
    let lease = |one: &Assignment| Lease {
        run_id: one.run.as_ref().expect("an assignment names its run").id.clone(),
        fence: one.fence,
    };
    assignments.iter().map(lease).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_repeated_while_the_first_call_claims_gets_the_same_run() {
    let fixture = Fixture::new().await;
    let runs = fixture.enqueue_many(&fixture.session().await, "any", 2).await;
    let (mut sql, mut looking) = (fixture.sql().await, fixture.sql().await);
    let mut held = sql.begin().await.expect("it begins");
    sqlx::query(HOLD_CLAIMS).execute(&mut *held).await.expect("it is not locked");
    let mut first = Unary::new(&fixture.servers[0], "unary");
    let mut again = Unary::new(&fixture.servers[0], "unary");
    let released = async {
        // The claim of the first call, and the repeated call.
        waiting_for_locks(&fixture, &mut looking, 2).await;
        held.rollback().await.expect("the lock is released");
    };
    let repeated = async {
        claim_is_held(&fixture, &mut fixture.sql().await).await;
        again.claim(one("same")).await.expect("it claims")
    };
    let (first, again, ()) = tokio::join!(first.claim(one("same")), repeated, released);
    assert_eq!(leases(&first.expect("it claims")), leases(&again));
    let other = runs.iter().find(|run| **run != leases(&again)[0].run_id).expect("there are two");
    assert_eq!(fixture.get(other).await.status(), RunStatus::Queued);
}

/// The first call has lost its connection when it is given a run, so its server would give the run back. But the same call at another
/// server was answered with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_which_a_repeated_claim_was_answered_is_not_taken_back_by_the_server_of_the_first_call() {
    for seed in 0..4 {
        let mut fixture = Fixture::waiting_long_for_locks(2).await;
        let session = fixture.session().await;
        let (mut held, mut locking) = (fixture.sql().await, fixture.sql().await);
        let mut looking = fixture.sql().await;

        // The first server gives back one grant after the other, and this one waits for a lock.
        let kinds = vec!["blocked".to_owned()];
        let mut stream = Stream::open_with(&fixture.servers[0], Hello { kinds, ..hello("stream") }).await;
        let blocked = fixture.enqueue(&session, "blocked").await.id;
        stream.credit(1);
        stream.assigned().await;
        let mut lock = locking.begin().await.expect("it begins");
        let statement = "SELECT FROM ops.runs WHERE id = $1::text::uuid FOR UPDATE";
        sqlx::query(statement).bind(&blocked).execute(&mut *lock).await.expect("it is not locked");
        drop(stream);
        waiting_for_locks(&fixture, &mut looking, 1).await;

        let relay = Relay::before(&fixture.address(), Flow::All).await;
        let connected = Client::connect(&format!("http://{}", relay.address), &Settings::default()).await;
        let mut cut = connected.expect("the server answers").workers();
        let request = ClaimRequest { worker_name: "unary".into(), kinds: vec!["any".into()], ..one("same") };
        let mut holding = held.begin().await.expect("it begins");
        sqlx::query(HOLD_CLAIMS).execute(&mut *holding).await.expect("it is not locked");
        let run = fixture.enqueue_spec(RunSpec { max_attempts: Some(1), ..spec(&session, "any") }).await;
        let run = run.expect("it is enqueued").id;
        let breaks = async {
            claim_is_held(&fixture, &mut looking).await;
            relay.set(Flow::Nothing);
        };
        let (first, ()) = tokio::join!(cut.claim(request.clone()), breaks);
        first.expect_err("its connection was cut");
        // The server learns of the cut while it answers these calls.
        for _ in 0..5 {
            fixture.get(&run).await;
        }
        holding.rollback().await.expect("the lock is released");
        if seed % 2 == 0 {
            fixture.running(&run).await;
        }

        let mut again = Unary::new(&fixture.servers[1], "unary");
        let claimed = again.claim(request).await.expect("it is the same call");
        let claimed = leases(&claimed);
        assert_eq!(claimed.iter().map(|lease| &lease.run_id).collect::<Vec<_>>(), [&run]);
        lock.rollback().await.expect("the lock is released");
        // A server that ends has given back everything before.
        fixture.servers.remove(0).stop().await;
        assert_eq!(again.heartbeat(&claimed).await.lost, []);
        let ended = again.report(&claimed[0], succeeded("1")).await.expect("the grant stands");
        assert_eq!((ended.status(), ended.attempt, ended.fence), (RunStatus::Succeeded, 1, claimed[0].fence));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_claim_that_waits_at_two_servers_is_given_the_runs_of_one() {
    let fixture = Fixture::with(2, |_| {}).await;
    let session = fixture.session().await;
    let mut looking = fixture.sql().await;
    for pass in 0..10 {
        let request_id = format!("same-{pass}");
        let request = ClaimRequest { kinds: vec![request_id.clone()], ..one(&request_id) };
        let calls = [&fixture.servers[pass % 2], &fixture.servers[(pass + 1) % 2]];
        let [mut first, mut second] = calls.map(|server| Unary::new(server, "unary"));
        let repeated = async {
            let opened =
                eventually("the first call is known", async || newest_call(&mut looking, &request_id).await).await;
            let enqueued = async {
                eventually("the second call is known", async || {
                    newest_call(&mut looking, &request_id).await.filter(|call| *call != opened)
                })
                .await;
                fixture.enqueue_many(&session, &request_id, 3).await
            };
            tokio::join!(second.claim(request.clone()), enqueued)
        };
        let (first, (second, runs)) = tokio::join!(first.claim(request.clone()), repeated);
        let mut given = Vec::new();
        for call in [first, second] {
            match call {
                Ok(runs) => given.extend(leases(&runs)),
                Err(refused) => assert_eq!(reason(&refused), "REQUEST_IN_PROGRESS"),
            }
        }
        given.dedup();
        assert_eq!(given.len(), 1, "{given:?}");
        let mut running = 0;
        for run in &runs {
            running += usize::from(fixture.get(run).await.status() == RunStatus::Running);
        }
        assert_eq!(running, 1);
        let mut again = Unary::new(&fixture.servers[pass % 2], "unary");
        assert_eq!(leases(&again.claim(request).await.expect("it is answered")), given);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_claim_is_answered_while_its_worker_drains_and_others_after_the_drain() {
    let fixture = Fixture::new().await;
    fixture.enqueue(&fixture.session().await, "any").await;
    let mut worker = Unary::new(&fixture.servers[0], "unary");
    let first = worker.claim(one("same")).await.expect("it claims");
    let drain = DrainWorkerRequest { worker_id: worker.worker_id.clone() };
    fixture.workers().drain_worker(drain).await.expect("it is known");
    let again = worker.claim(one("same")).await.expect("it was answered before");
    assert_eq!(leases(&again), leases(&first));
    let refused = worker.claim(one("other")).await.expect_err("it drains");
    assert_eq!(reason(&refused), "WORKER_DRAINING");
    let undrain = UndrainWorkerRequest { worker_id: worker.worker_id.clone() };
    let worker_now = fixture.workers().undrain_worker(undrain).await.expect("it is known").into_inner().worker;
    assert_eq!(worker_now.expect("it is answered").state(), WorkerState::Active);
    let run = fixture.enqueue(&fixture.session().await, "any").await;
    assert_eq!(leases(&worker.claim(one("other")).await.expect("it claims again"))[0].run_id, run.id);
}

/// Gives back the claim of a run, as its server does if the answer of the database was lost. Returns how many runs went back.
async fn undo(fixture: &Fixture, run: &str, request_id: &str) -> usize {
    let mut sql = fixture.sql().await;
    let key = "SELECT server_id, claim_number FROM ops.runs WHERE id = $1::text::uuid";
    let (server_id, number) = sqlx::query_as(key).bind(run).fetch_one(&mut sql).await.expect("it is claimed");
    let call = "SELECT resource_ids[1], call_id FROM ops.request_ids WHERE request_id = $1";
    let (claim_id, call) = sqlx::query_as(call).bind(request_id).fetch_one(&mut sql).await.expect("it is known");
    let call = ClaimCall { tenant: TenantId::new("default"), request_id: request_id.to_owned(), claim_id, call };
    // The claim was lost before the call was repeated.
    let lost = match request_id.starts_with("repeated") {
        true => ClaimCall { call: uuid::Uuid::now_v7(), ..call },
        false => call,
    };
    let mut undo = sql.begin().await.expect("it begins");
    let undone = run_claim_undo_in_tx(&mut undo, ClaimKey { server_id, number }, &[Arc::new(lost)]).await;
    undo.commit().await.expect("it is committed");
    undone.expect("it is looked for").0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_claim_goes_back_unless_a_repeated_call_was_answered_with_it() {
    let fixture = Fixture::new().await;
    let run = fixture.enqueue(&fixture.session().await, "any").await.id;
    let mut worker = Unary::new(&fixture.servers[0], "unary");
    let lost = leases(&worker.claim(one("lost")).await.expect("it claims"));
    assert_eq!(undo(&fixture, &run, "lost").await, 1);
    assert_eq!(fixture.get(&run).await.status(), RunStatus::Queued);
    // Nobody was answered with it, so the same call is given a run again.
    let again = leases(&worker.claim(one("lost")).await.expect("it claims"));
    assert_eq!((&again[0].run_id, again[0].fence), (&run, lost[0].fence + 1));
    worker.report(&again[0], succeeded("1")).await.expect("it stands");
    assert_eq!(worker.claim(one("lost")).await.expect("it was answered"), [], "its run has ended");

    let run = fixture.enqueue(&fixture.session().await, "any").await.id;
    let given = leases(&worker.claim(one("repeated")).await.expect("it claims"));
    assert_eq!(undo(&fixture, &run, "repeated").await, 0);
    assert_eq!(worker.heartbeat(&given).await.lost, []);
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
        run_claim_undo_in_tx(&mut undo, ClaimKey { server_id, number }, &[]).await.expect("it is given back");
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
