//! Leases end only by time, and no living worker loses its run in an outage.

use std::sync::Arc;
use std::time::Duration;

use proto::v1::*;
use serde_json::Value;
use sqlx::Connection;
use tokio::sync::Notify;

use crate::support::{
    Fixture, Handle, LiveWorker, Stream, Unary, eventually, hold_starts, in_time, passes, passes_unserved, reason,
    resume, spec, succeeded, two_lease_checks,
};

/// A run that this worker has started.
async fn started(fixture: &Fixture, max_attempts: i32) -> (Stream, Lease) {
    let session = fixture.session().await;
    let spec = RunSpec { max_attempts: Some(max_attempts), ..spec(&session, "any") };
    fixture.enqueue_spec(spec).await.expect("it is enqueued");
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    let lease = stream.begin().await;
    fixture.running(&lease.run_id).await;
    (stream, lease)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_run_of_a_dead_worker_fails_with_heartbeat_timeout_and_its_context() {
    let fixture = Fixture::with(1, |config| config.engine.lease_timeout = Duration::from_secs(1)).await;
    let (stream, lease) = started(&fixture, 1).await;
    let worker_id = stream.welcome.worker_id.clone();
    drop(stream);
    let run = fixture.ended(&lease.run_id).await;
    assert_eq!((run.status(), run.attempt), (RunStatus::Failed, 1));
    let error = run.error.expect("it failed with an error");
    assert_eq!(error.r#type, "HeartbeatTimeout");
    assert!(error.message.contains("by-hand"), "{}", error.message);
    let context: Value = serde_json::from_str(&error.context_json).expect("a JSON object");
    assert_eq!((&context["worker_id"], &context["attempt"]), (&Value::from(worker_id), &Value::from(1)));
    assert!(context["last_heartbeat"].is_string(), "{context}");
    let session = fixture.session_now(&run.session_id).await;
    assert_eq!((session.total_runs, session.failed_runs), (1, 1));
    // The run fails after its lease, and long before the default lease of 30 s.
    let waited = "SELECT finished_at - heartbeat_at BETWEEN interval '1 s' AND interval '20 s' FROM ops.runs";
    let in_time: bool = sqlx::query_scalar(waited).fetch_one(&mut fixture.sql().await).await.expect("it is compared");
    assert!(in_time);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_worker_executes_the_run_of_a_silent_one_which_can_no_longer_change_it() {
    let fixture = Fixture::with(2, |_| {}).await;
    let (mut silent, first) = started(&fixture, 2).await;
    passes(&mut fixture.sql().await, 3600).await;
    let mut other = Stream::open(&fixture.servers[1]).await;
    other.credit(1);
    let (run, second) = other.assigned().await;
    assert_eq!((&run.id, run.attempt, second.fence), (&first.run_id, 1, first.fence + 1));
    other.accept(std::slice::from_ref(&second));
    assert_eq!(other.start().await.attempt, 2);
    let running = fixture.running(&first.run_id).await;

    assert_eq!(silent.revoke().await, first, "the worker gets a revoke");
    assert_eq!(silent.heartbeat(std::slice::from_ref(&first)).await.lost, std::slice::from_ref(&first));
    assert_eq!(silent.finish(&first, succeeded("\"late\"")).await, "LEASE_LOST");
    assert_eq!(fixture.get(&first.run_id).await, running, "nothing has changed");
    assert_eq!(other.finish(&second, succeeded("\"second\"")).await, "");
    let run = fixture.get(&first.run_id).await;
    assert_eq!((run.status(), run.attempt, run.result_json.as_str()), (RunStatus::Succeeded, 2, "\"second\""));
}

/// Its server and its worker are silent from the moment of the start.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_was_sent_and_not_written_counts_as_an_attempt_when_its_lease_ends() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let mut sql = fixture.sql().await;
    hold_starts(&mut sql).await;
    let [once, twice] = [1, 2].map(|attempts| RunSpec { max_attempts: Some(attempts), ..spec(&session, "any") });
    let (once, twice) = (fixture.enqueue_spec(once).await, fixture.enqueue_spec(twice).await);
    let (once, twice) = (once.expect("it is enqueued").id, twice.expect("it is enqueued").id);
    let mut silent = Stream::open(&fixture.servers[0]).await;
    for (total, run) in (1..).zip([&once, &twice]) {
        silent.credit(total);
        assert_eq!(silent.begin().await.run_id, *run);
        assert_eq!(fixture.get(run).await.status(), RunStatus::Claimed);
    }
    passes(&mut sql, 3600).await;
    let failed = fixture.ended(&once).await;
    assert_eq!((failed.status(), failed.attempt, failed.fence), (RunStatus::Failed, 1, 1));
    assert_eq!(failed.error.expect("it failed with an error").r#type, "HeartbeatTimeout");
    let mut other = Stream::open(&fixture.servers[0]).await;
    other.credit(2);
    let (again, lease) = other.assigned().await;
    assert_eq!((&again.id, again.attempt, lease.fence), (&twice, 1, 2));
    other.accept(std::slice::from_ref(&lease));
    assert_eq!(other.start().await.attempt, 2);
    assert!(other.rest().await.is_empty(), "the other run is not given again");
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_keep_a_run_alive_for_longer_than_its_lease() {
    let fixture = Fixture::with(1, |config| config.engine.lease_timeout = Duration::from_secs(3)).await;
    let (release, released) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let waiting = released.clone();
    let handle = Handle::new(move |_| {
        let (release, begun) = (release.clone(), waiting.clone());
        async move {
            begun.notify_one();
            release.notified().await;
            Ok(Value::Null)
        }
    });
    let session = fixture.session().await;
    let worker = LiveWorker::start(&[&fixture.servers[0]], 1, "long", &handle);
    let run = fixture.enqueue(&session, "long").await;
    in_time("the handler begins", released.notified()).await;
    let mut sql = fixture.sql().await;
    eventually("the run is older than its lease", async || {
        let outlived = "SELECT heartbeat_at - started_at > interval '4 s' FROM ops.runs";
        let outlived: Option<bool> = sqlx::query_scalar(outlived).fetch_one(&mut sql).await.expect("it is read");
        outlived.filter(|outlived| *outlived)
    })
    .await;
    let alive = fixture.get(&run.id).await;
    assert_eq!((alive.status(), alive.attempt, alive.fence), (RunStatus::Running, 1, 1));
    drop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_living_worker_loses_its_run_while_all_servers_are_down() {
    let mut fixture = Fixture::new().await;
    let (stream, lease) = started(&fixture, 1).await;
    let welcome = stream.welcome.clone();
    drop(stream);
    let server = fixture.servers.remove(0);
    server.stop().await;
    // Far longer than the lease. The worker is alive all the time, but finds no server.
    passes_unserved(&mut fixture.sql().await, 3600).await;
    fixture.add_server(&|_| {}).await;
    two_lease_checks(&fixture).await;
    let mut stream = Stream::open_with(&fixture.servers[0], resume(&welcome, std::slice::from_ref(&lease))).await;
    assert_eq!(stream.welcome.standing, std::slice::from_ref(&lease));
    assert_eq!(stream.finish(&lease, succeeded("1")).await, "");
    let run = fixture.get(&lease.run_id).await;
    assert_eq!((run.status(), run.attempt), (RunStatus::Succeeded, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_start_again_when_the_lease_service_resumes_and_end_after_that() {
    let fixture = Fixture::new().await;
    let (mut stream, lease) = started(&fixture, 1).await;
    let mut sql = fixture.sql().await;
    let mut outage = sql.begin().await.expect("it begins");
    passes_unserved(&mut outage, 3600).await;
    outage.commit().await.expect("an hour has passed without a lease check");
    two_lease_checks(&fixture).await;
    assert_eq!(fixture.get(&lease.run_id).await.status(), RunStatus::Running);
    assert!(stream.heartbeat(std::slice::from_ref(&lease)).await.lost.is_empty());

    passes(&mut sql, 3600).await;
    let run = fixture.ended(&lease.run_id).await;
    assert_eq!(run.error.expect("it failed").r#type, "HeartbeatTimeout");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unary_claim_has_the_lease_that_it_asks_for() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let runs = fixture.enqueue_many(&session, "any", 2).await;
    let lease = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let (mut short, mut long) = (Unary::new(&fixture.servers[0], "short"), Unary::new(&fixture.servers[0], "long"));
    let of_short = short.claim(ClaimRequest { lease_timeout: lease(1), ..Default::default() }).await;
    let of_short = of_short.expect("it claims").remove(0);
    long.claim(ClaimRequest { lease_timeout: lease(3600), ..Default::default() }).await.expect("it claims");
    let started = of_short.run.expect("it names its run");
    assert_eq!((started.status(), started.attempt), (RunStatus::Running, 1));

    let run = fixture.ended(&runs[0]).await;
    assert_eq!(run.error.expect("it failed").r#type, "HeartbeatTimeout");
    let lease = Lease { run_id: runs[0].clone(), fence: of_short.fence };
    let refused = short.report(&lease, succeeded("1")).await.expect_err("its lease has ended");
    assert_eq!(reason(&refused), "LEASE_LOST");
    assert_eq!(short.heartbeat(std::slice::from_ref(&lease)).await.lost, [lease]);

    passes(&mut fixture.sql().await, 1800).await;
    two_lease_checks(&fixture).await;
    assert_eq!(fixture.get(&runs[1]).await.status(), RunStatus::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_heartbeats_is_marked_as_lost() {
    let fixture = Fixture::new().await;
    let stream = Stream::open(&fixture.servers[0]).await;
    passes(&mut fixture.sql().await, 3600).await;
    eventually("it is lost", async || {
        let states = vec![WorkerState::Lost.into()];
        let listed = fixture.workers().list_workers(ListWorkersRequest { states, ..Default::default() }).await;
        let workers = listed.expect("they are listed").into_inner().workers;
        workers.into_iter().find(|worker| worker.id == stream.welcome.worker_id)
    })
    .await;
}
