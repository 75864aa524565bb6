//! A server ends in order, whatever is open, and loses nothing that it has acknowledged.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use proto::v1::watch_runs_response::Event;
use proto::v1::*;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::{Fixture, Handle, LiveWorker, Stream, Unary, Watcher, eventually, in_time, reason, spec};

/// How long a shutdown may take. Only one that hangs takes nearly as long.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(50);

#[tokio::test(flavor = "multi_thread")]
async fn open_streams_watches_tails_waits_and_claims_do_not_delay_a_shutdown() {
    let mut fixture = Fixture::with(2, |config| config.shutdown_timeout = SHUTDOWN_TIMEOUT).await;
    let session = fixture.session().await;
    let run = fixture.enqueue(&session, "any").await;
    let server = fixture.servers.remove(0);
    let mut stream = Stream::open(&server).await;
    stream.credit(1);
    let lease = stream.begin().await;
    fixture.running(&run.id).await;
    let mut idle = Stream::open(&server).await;
    let mut watcher = Watcher::all(&server).await;
    let tail = TailRunEventsRequest { run_id: run.id.clone(), ..Default::default() };
    let mut tail = server.runs().tail_run_events(tail).await.expect("the run is there").into_inner();

    let mut open = JoinSet::new();
    let mut runs = server.runs();
    let wait_timeout = Some(prost_types::Duration { seconds: 600, nanos: 0 });
    let wait = WaitRunRequest { run_id: run.id.clone(), wait_timeout };
    open.spawn(async move { reason(&runs.wait_run(wait).await.expect_err("it is cut short")) });
    let mut claimer = Unary::new(&server, "unary");
    let wait = Some(prost_types::Duration { seconds: 60, nanos: 0 });
    let claim = ClaimRequest { wait, lanes: vec![Lane::D.into()], ..Default::default() };
    open.spawn(async move { reason(&claimer.claim(claim).await.expect_err("it is cut short")) });
    // The claim has arrived when its worker is recorded.
    eventually("the claim has arrived", async || {
        let listed = fixture.workers().list_workers(ListWorkersRequest::default()).await.expect("they are listed");
        listed.into_inner().workers.into_iter().find(|worker| worker.name == "unary")
    })
    .await;

    let begun = Instant::now();
    in_time("the end of the server", server.stop()).await;
    assert!(begun.elapsed() < SHUTDOWN_TIMEOUT / 2, "{:?}", begun.elapsed());
    for stream in [&mut stream, &mut idle] {
        assert_eq!(stream.drain().await, DrainReason::ServerShutdown);
        assert_eq!(reason(&stream.end().await.expect("it is ended")), "SHUTTING_DOWN");
    }
    assert!(matches!(watcher.news().await, Event::Goodbye(_)));
    let tailed = in_time("the end of the tail", tail.message()).await.expect_err("it is cut short");
    assert_eq!(reason(&tailed), "SHUTTING_DOWN");
    while let Some(ended) = open.join_next().await {
        assert_eq!(ended.expect("the callers do not panic"), "SHUTTING_DOWN");
    }
    let kept = fixture.get(&run.id).await;
    assert_eq!((kept.status(), kept.fence), (RunStatus::Running, lease.fence), "a started run stays leased");
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_runs_exist_after_a_shutdown() {
    let mut fixture = Fixture::with(2, |_| {}).await;
    let session = fixture.session().await;
    let server = fixture.servers.remove(0);
    let mut callers = JoinSet::new();
    for _ in 0..16 {
        let mut runs = server.runs();
        let request = EnqueueRunRequest { run: Some(spec(&session, "any")) };
        callers.spawn(async move {
            let mut acknowledged = Vec::new();
            while let Ok(answer) = runs.enqueue_run(request.clone()).await {
                acknowledged.push(answer.into_inner().run.expect("it is answered").id);
            }
            acknowledged
        });
    }
    eventually("they are at it", async || (fixture.session_now(&session).await.total_runs > 200).then_some(())).await;
    server.stop().await;
    let mut acknowledged = BTreeSet::new();
    while let Some(ids) = callers.join_next().await {
        acknowledged.extend(ids.expect("the callers do not panic"));
    }
    let there: Vec<String> =
        sqlx::query_scalar("SELECT id::text FROM ops.runs").fetch_all(&mut fixture.sql().await).await.expect("listed");
    let there: BTreeSet<String> = there.into_iter().collect();
    assert!(acknowledged.len() > 200 && acknowledged.is_subset(&there));
    assert_eq!(fixture.session_now(&session).await.total_runs, there.len() as i64);
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_continue_at_another_replica_and_no_run_is_executed_twice_or_lost() {
    let mut fixture = Fixture::with(2, |_| {}).await;
    let session = fixture.session().await;
    let handle = Handle::new(|_| async { Ok(Value::Null) });
    let crew: Vec<LiveWorker> =
        (0..4).map(|_| LiveWorker::start(&[&fixture.servers[1], &fixture.servers[0]], 8, "quick", &handle)).collect();
    fixture.enqueue_many(&session, "quick", 2_000).await;
    eventually("they are at it", async || (fixture.session_now(&session).await.succeeded_runs > 100).then_some(()))
        .await;
    fixture.servers.remove(1).stop().await;
    fixture.close(&session).await;
    let ended = eventually("the end of the session", async || {
        Some(fixture.session_now(&session).await).filter(|session| session.status() == SessionStatus::Completed)
    })
    .await;
    assert_eq!((ended.total_runs, ended.succeeded_runs), (2_000, 2_000));
    let mut started = 0;
    for worker in crew {
        let summary = worker.stop().await;
        assert_eq!((summary.lost, summary.unreported), (0, 0), "{summary:?}");
        started += summary.started;
    }
    assert_eq!(started, 2_000, "each run was started once");
}
