//! One request id makes one run, from any sender and any number of times.

use std::collections::BTreeSet;

use proto::v1::*;
use sqlx::Connection;
use tokio::task::JoinSet;

use crate::support::{Fixture, eventually, in_time, reason, spec, waiting_for_locks};

fn named(session: &str, request_id: &str) -> RunSpec {
    RunSpec { request_id: request_id.into(), ..spec(session, "any") }
}

/// An open transaction that has used this request id.
async fn hold<'c>(sql: &'c mut sqlx::PgConnection, request_id: &str) -> sqlx::Transaction<'c, sqlx::Postgres> {
    let mut holding = sql.begin().await.expect("it begins");
    let insert = "INSERT INTO ops.request_ids (tenant_id, scope, request_id, payload_hash, resource_ids)
                  VALUES ('default', 'EnqueueRun', $1, '', ARRAY[gen_random_uuid()])";
    sqlx::query(insert).bind(request_id).execute(&mut *holding).await.expect("it is held");
    holding
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_at_two_replicas_at_once_creates_one_run() {
    let fixture = Fixture::with(2, |_| {}).await;
    let session = fixture.session().await;
    for pass in 0..5 {
        let mut callers = JoinSet::new();
        for caller in 0..20 {
            let mut runs = fixture.servers[caller % 2].runs();
            let request = EnqueueRunRequest { run: Some(named(&session, &format!("once-{pass}"))) };
            callers.spawn(async move {
                let answered = runs.enqueue_run(request).await.expect("it is answered");
                answered.into_inner().run.expect("it is answered").id
            });
        }
        let mut ids = BTreeSet::new();
        while let Some(id) = callers.join_next().await {
            ids.insert(id.expect("the callers do not panic"));
        }
        assert_eq!(ids.len(), 1, "{ids:?}");
        assert_eq!(fixture.session_now(&session).await.total_runs, pass + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_with_another_payload_is_refused_and_nothing_is_enqueued() {
    let fixture = Fixture::with(2, |_| {}).await;
    let (session, other) = (fixture.session().await, fixture.session().await);
    let first = fixture.enqueue_spec(named(&session, "once")).await.expect("it is enqueued");
    let others = [
        RunSpec { priority: 1, ..named(&session, "once") },
        RunSpec { kind: "other".into(), ..named(&session, "once") },
        named(&other, "once"),
        RunSpec { max_attempts: Some(2), ..named(&session, "once") },
        RunSpec { params: Some(run_spec::Params::ParamsJson("{\"a\":1}".into())), ..named(&session, "once") },
        RunSpec { labels: [("a".to_owned(), "b".to_owned())].into(), ..named(&session, "once") },
    ];
    for other in others {
        let refused = fixture.enqueue_spec(other).await.expect_err("it is another run");
        assert_eq!((refused.code(), reason(&refused)), (tonic::Code::AlreadyExists, "REQUEST_ID_REUSED".into()));
    }
    assert_eq!(fixture.enqueue_spec(named(&session, "once")).await.expect("it is repeated").id, first.id);
    let sessions = [fixture.session_now(&session).await.total_runs, fixture.session_now(&other).await.total_runs];
    assert_eq!(sessions, [1, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_is_answered_with_the_run_as_it_is_now() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let run = fixture.enqueue_spec(named(&session, "once")).await.expect("it is enqueued");
    let cancelled = fixture.cancel(&run.id).await;
    fixture.close(&session).await;
    // The session takes no more runs, but this run exists already.
    assert_eq!(fixture.enqueue_spec(named(&session, "once")).await.expect("it is repeated"), cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_id_within_one_call_creates_its_own_run() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let enqueue = async |runs| fixture.runs().enqueue_runs(EnqueueRunsRequest { runs }).await;
    let runs: Vec<RunSpec> = (0..10).map(|run| named(&session, &format!("{run}"))).collect();
    let first = enqueue(runs.clone()).await.expect("they are enqueued").into_inner().run_ids;
    assert_eq!(enqueue(runs.clone()).await.expect("they are repeated").into_inner().run_ids, first);
    let mixed = vec![runs[3].clone(), named(&session, "new"), runs[4].clone()];
    let mixed = enqueue(mixed).await.expect("it is enqueued").into_inner().run_ids;
    assert_eq!((&mixed[0], &mixed[2]), (&first[3], &first[4]));
    assert_eq!(fixture.session_now(&session).await.total_runs, 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_call_leaves_its_request_ids_free() {
    let fixture = Fixture::new().await;
    let (session, closed) = (fixture.session().await, fixture.session().await);
    fixture.close(&closed).await;
    fixture.enqueue_spec(named(&session, "used")).await.expect("it is enqueued");
    let reused = RunSpec { priority: 1, ..named(&session, "used") };
    for (bad, why) in [(named(&closed, "free"), "SESSION_CLOSED"), (reused, "REQUEST_ID_REUSED")] {
        let runs = vec![named(&session, "free-too"), bad];
        let refused = fixture.runs().enqueue_runs(EnqueueRunsRequest { runs }).await.expect_err("it is refused");
        assert_eq!(reason(&refused), why);
    }
    let after = RunSpec { priority: 5, ..named(&session, "free-too") };
    fixture.enqueue_spec(after).await.expect("the id is free");
    fixture.enqueue_spec(named(&session, "free")).await.expect("the id is free");
    assert_eq!(fixture.session_now(&session).await.total_runs, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_held_by_another_transaction_delays_no_other_call() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let mut sql = fixture.sql().await;
    let mut looking = fixture.sql().await;
    let holding = hold(&mut sql, "held").await;
    let mut callers = JoinSet::new();
    let mut runs = fixture.runs();
    let request = EnqueueRunRequest { run: Some(named(&session, "held")) };
    callers.spawn(async move { runs.enqueue_run(request).await });
    waiting_for_locks(&fixture, &mut looking, 1).await;
    fixture.enqueue(&session, "any").await;
    assert!(callers.try_join_next().is_none(), "a call without a request id does not wait for the one that does");
    // Calls in its batch are enqueued, too.
    let mut others = JoinSet::new();
    for other in 0..10 {
        let mut runs = fixture.runs();
        let request = EnqueueRunRequest { run: Some(named(&session, &format!("other-{other}"))) };
        others.spawn(async move { runs.enqueue_run(request).await });
    }
    let mut again = fixture.runs();
    let request = EnqueueRunRequest { run: Some(named(&session, "held")) };
    callers.spawn(async move { again.enqueue_run(request).await });
    while let Some(other) = others.join_next().await {
        other.expect("the callers do not panic").expect("it is another call");
    }
    while let Some(held) = callers.join_next().await {
        let refused = held.expect("the callers do not panic").expect_err("it is held");
        assert_eq!((refused.code(), reason(&refused)), (tonic::Code::Aborted, "REQUEST_IN_PROGRESS".into()));
    }
    holding.rollback().await.expect("the lock is released");
    fixture.enqueue_spec(named(&session, "held")).await.expect("the id is free");
    assert_eq!(fixture.session_now(&session).await.total_runs, 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_request_id_is_waited_for_by_its_own_calls_alone() {
    // Locks are waited for far longer than any other enqueue takes.
    let deadline = std::time::Duration::from_secs(250);
    let fixture = Fixture::with(1, |config| config.database.deadline = deadline).await;
    let session = fixture.session().await;
    let mut sql = fixture.sql().await;
    let holding = hold(&mut sql, "held").await;
    let enqueue = |request_id: String| {
        let (mut runs, run) = (fixture.runs(), Some(named(&session, &request_id)));
        async move { runs.enqueue_run(EnqueueRunRequest { run }).await }
    };
    let (mut held, mut others) = (JoinSet::new(), JoinSet::new());
    for call in 0..20 {
        if call % 5 == 0 {
            held.spawn(enqueue("held".to_owned()));
        }
        others.spawn(enqueue(format!("other-{call}")));
    }
    while let Some(other) = in_time("another enqueue", others.join_next()).await {
        other.expect("the callers do not panic").expect("its request id is free");
    }
    assert!(held.try_join_next().is_none(), "the request id is held");
    holding.rollback().await.expect("it is released");
    let mut runs = BTreeSet::new();
    while let Some(answer) = in_time("a held enqueue", held.join_next()).await {
        let answer = answer.expect("the callers do not panic").expect("the request id is free");
        runs.insert(answer.into_inner().run.expect("it is answered").id);
    }
    assert_eq!((runs.len(), fixture.session_now(&session).await.total_runs), (1, 21));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_is_never_answered_with_the_run_of_a_refused_call() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    fixture.enqueue_spec(named(&session, "used")).await.expect("it is enqueued");
    // Delays the batch of one call, so that the next two are in one batch.
    let mut sql = fixture.sql().await;
    let holding = hold(&mut sql, "held").await;
    let mut clients = [fixture.runs(), fixture.runs(), fixture.runs()];
    let [first, second, third] = &mut clients;
    let held = first.enqueue_run(EnqueueRunRequest { run: Some(named(&session, "held")) });
    let reused = RunSpec { priority: 1, ..named(&session, "used") };
    let refused = second.enqueue_runs(EnqueueRunsRequest { runs: vec![named(&session, "shared"), reused] });
    let single = third.enqueue_run(EnqueueRunRequest { run: Some(named(&session, "shared")) });
    let together = async {
        waiting_for_locks(&fixture, &mut fixture.sql().await, 1).await;
        let (refused, single) = tokio::join!(refused, single);
        (refused, single)
    };
    let (_, (refused, single)) = tokio::join!(held, together);
    assert_eq!(reason(&refused.expect_err("one of its ids is used")), "REQUEST_ID_REUSED");
    let run = single.expect("it is enqueued").into_inner().run.expect("it is answered");
    assert_eq!(fixture.get(&run.id).await.status(), RunStatus::Queued, "it is there");
    drop(holding);
    eventually("it is counted", async || (fixture.session_now(&session).await.total_runs == 2).then_some(())).await;
}
