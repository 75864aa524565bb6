//! Cancels. A run that no worker was sent a Start for is cancelled at once, a running one by its worker, or by force if the
//! worker does not answer.

use std::sync::Arc;
use std::time::Duration;

use proto::v1::*;
use sqlx::Connection;
use tokio::sync::Notify;
use worker::HandlerError;

use crate::support::{
    Fixture, Handle, LiveWorker, Server, Stream, Unary, cancelled, eventually, failed, hold_starts, in_time, passes,
    passes_unserved, reason, snoozed, spec, succeeded, two_lease_checks, waiting_for_locks,
};

/// A run of three attempts that this worker has started at the first server.
async fn started(fixture: &Fixture) -> (Stream, Lease) {
    let session = fixture.session().await;
    let spec = RunSpec { max_attempts: Some(3), ..spec(&session, "any") };
    fixture.enqueue_spec(spec).await.expect("it is enqueued");
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    let lease = stream.begin().await;
    fixture.running(&lease.run_id).await;
    (stream, lease)
}

async fn cancel_at(server: &Server, run_id: &str, reason: &str, grace: Duration) -> Run {
    let grace = Some(grace.try_into().expect("a short time"));
    let request = CancelRunRequest { run_id: run_id.to_owned(), reason: reason.to_owned(), grace };
    server.runs().cancel_run(request).await.expect("the run is there").into_inner().run.expect("it is answered")
}

fn confirmed(run: &Run) -> Option<bool> {
    run.cancellation.as_ref().and_then(|cancellation| cancellation.confirmed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_run_is_cancelled_at_once_and_never_assigned() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let run = fixture.enqueue(&session, "any").await;
    let cancelled = fixture.cancel(&run.id).await;
    assert_eq!((cancelled.status(), confirmed(&cancelled)), (RunStatus::Cancelled, Some(true)));
    assert_eq!(fixture.session_now(&session).await.cancelled_runs, 1);
    let later = fixture.enqueue(&session, "any").await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(2);
    assert_eq!(stream.assigned().await.0.id, later.id);
    assert!(stream.rest().await.is_empty());
}

/// The cancel finds the run queued, waits for its lock, and then finds it running.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_waits_while_its_run_is_claimed_and_started_is_sent_to_the_worker() {
    let fixture = Fixture::new().await;
    let stream = Stream::open(&fixture.servers[0]).await;
    let run = fixture.enqueue(&fixture.session().await, "any").await;
    let (mut held, mut looking) = (fixture.sql().await, fixture.sql().await);
    let mut claim = held.begin().await.expect("it begins");
    let begun = "UPDATE ops.runs SET status = 'running', worker_id = $2::text::uuid, fence = 1,
                     lease_ms = 30000, claimed_at = now(), heartbeat_at = now(), started_at = now(), attempt = 1
                 WHERE id = $1::text::uuid";
    let begun = sqlx::query(begun).bind(&run.id).bind(&stream.welcome.worker_id);
    begun.execute(&mut *claim).await.expect("it is claimed");
    let commit = async {
        waiting_for_locks(&fixture, &mut looking, 1).await;
        claim.commit().await.expect("it is committed");
    };
    let (asked, ()) = tokio::join!(fixture.cancel(&run.id), commit);
    assert_eq!((asked.status(), confirmed(&asked)), (RunStatus::Running, None));
    let order = "SELECT kind::text FROM ops.run_cancels WHERE run_id = $1::text::uuid AND fence = 1";
    let order: String = sqlx::query_scalar(order).bind(&run.id).fetch_one(&mut looking).await.expect("it is written");
    assert_eq!(order, "cancel", "the worker gets a cancel and not a revoke");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claimed_run_without_a_start_is_revoked_and_cancelled() {
    // Only the cancel can end the grant.
    let fixture = Fixture::with(2, |config| config.engine.accept_timeout = Duration::from_secs(600)).await;
    let session = fixture.session().await;
    let run = fixture.enqueue(&session, "any").await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    let (_, lease) = stream.assigned().await;
    let asked = cancel_at(&fixture.servers[1], &run.id, "no more", Duration::from_secs(3600)).await;
    assert!(asked.cancellation.is_some());
    assert_eq!(stream.revoke().await, lease);
    let cancelled = fixture.ended(&run.id).await;
    assert_eq!((cancelled.status(), confirmed(&cancelled)), (RunStatus::Cancelled, Some(true)));
    assert_eq!((cancelled.attempt, fixture.session_now(&session).await.cancelled_runs), (0, 1));
    stream.accept(std::slice::from_ref(&lease));
    assert_eq!(stream.revoke().await, lease, "a late accept starts nothing");
    assert_eq!(stream.finish(&lease, succeeded("1")).await, "LEASE_LOST");
    assert_eq!(fixture.get(&run.id).await, cancelled);
    let left = "SELECT count(*) FROM ops.run_cancels";
    let left: i64 = sqlx::query_scalar(left).fetch_one(&mut fixture.sql().await).await.expect("it is counted");
    assert_eq!(left, 0, "no cancel is left to send");
}

/// The worker was sent a Start, and the database does not know it yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_of_a_run_whose_start_is_not_written_is_confirmed_by_its_worker_alone() {
    let fixture = Fixture::with(2, |_| {}).await;
    let session = fixture.session().await;
    let mut sql = fixture.sql().await;
    hold_starts(&mut sql).await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    let outcomes = [
        (Some(cancelled()), RunStatus::Cancelled, Some(true)),
        (Some(failed("Broken")), RunStatus::Cancelled, Some(true)),
        (Some(succeeded("1")), RunStatus::Succeeded, None),
        // It says nothing, and loses the run.
        (None, RunStatus::Cancelled, Some(false)),
    ];
    for (total, (outcome, status, confirms)) in (1..).zip(outcomes) {
        let run = fixture.enqueue(&session, "any").await.id;
        stream.credit(total);
        let lease = stream.begin().await;
        assert_eq!(fixture.get(&run).await.status(), RunStatus::Claimed);
        let asked = cancel_at(&fixture.servers[1], &run, "no more", Duration::from_secs(7)).await;
        assert_eq!((asked.status(), confirmed(&asked)), (RunStatus::Claimed, None));
        let cancel = stream.cancel().await;
        assert_eq!((&cancel.run_id, cancel.fence), (&lease.run_id, lease.fence));
        assert_eq!(cancel.grace.map(|grace| grace.seconds), Some(7));
        assert_eq!(confirmed(&fixture.get(&run).await), None, "its worker has said nothing");
        match outcome {
            Some(outcome) => assert_eq!(stream.finish(&lease, outcome).await, ""),
            None => {
                passes(&mut sql, 13).await;
                assert_eq!(stream.revoke().await, lease);
            }
        }
        let run = fixture.ended(&run).await;
        assert_eq!((run.status(), confirmed(&run), run.attempt), (status, confirms, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_meets_the_start_is_confirmed_by_the_worker_or_nothing_starts() {
    let fixture = Fixture::with(2, |_| {}).await;
    let session = fixture.session().await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    let (mut started, mut revoked) = (0, 0);
    for total in 1..=60 {
        let run = fixture.enqueue(&session, "any").await.id;
        stream.credit(total);
        let (_, lease) = stream.assigned().await;
        let accepted = async {
            // One, two or three calls later, the accept meets another step of the cancel.
            for _ in 0..total % 3 {
                fixture.get(&run).await;
            }
            stream.accept(std::slice::from_ref(&lease));
        };
        let server = &fixture.servers[total as usize % 2];
        let (_, ()) = tokio::join!(cancel_at(server, &run, "no more", Duration::from_secs(600)), accepted);
        match stream.start_or_revoke(&lease).await {
            Some(_) => {
                assert_eq!(stream.cancel().await.run_id, run);
                assert_eq!(confirmed(&fixture.get(&run).await), None, "its worker has said nothing");
                assert_eq!(stream.finish(&lease, cancelled()).await, "");
                started += 1;
            }
            None => revoked += 1,
        }
        let run = fixture.ended(&run).await;
        assert_eq!((run.status(), confirmed(&run)), (RunStatus::Cancelled, Some(true)));
    }
    println!("{started} were started and stopped, {revoked} did not start");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_at_another_replica_reaches_the_worker_and_the_report_confirms_it() {
    let fixture = Fixture::with(2, |_| {}).await;
    let (mut stream, lease) = started(&fixture).await;
    let asked = cancel_at(&fixture.servers[1], &lease.run_id, "wrong input", Duration::from_secs(7)).await;
    assert_eq!((asked.status(), confirmed(&asked)), (RunStatus::Running, None));
    let cancel = stream.cancel().await;
    assert_eq!((&cancel.run_id, cancel.fence, cancel.reason.as_str()), (&lease.run_id, lease.fence, "wrong input"));
    assert_eq!(cancel.grace.map(|grace| grace.seconds), Some(7));
    stream.send(connect_request::Frame::CancelAcks(CancelAcks { leases: vec![lease.clone()] }));
    assert_eq!(stream.finish(&lease, cancelled()).await, "");
    let run = fixture.get(&lease.run_id).await;
    assert_eq!((run.status(), confirmed(&run), run.error.as_ref()), (RunStatus::Cancelled, Some(true), None));
    let session = fixture.session_now(&run.session_id).await;
    assert_eq!((session.total_runs, session.cancelled_runs), (1, 1));
    let left = "SELECT count(*) FROM ops.run_cancels";
    let left: i64 = sqlx::query_scalar(left).fetch_one(&mut fixture.sql().await).await.expect("it is counted");
    assert_eq!(left, 0, "no cancel is left to send");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_cancel_counts() {
    let fixture = Fixture::new().await;
    let (mut stream, lease) = started(&fixture).await;
    let first = cancel_at(&fixture.servers[0], &lease.run_id, "first", Duration::from_secs(7)).await;
    let again = cancel_at(&fixture.servers[0], &lease.run_id, "second", Duration::ZERO).await;
    assert_eq!(again, first);
    assert_eq!(stream.cancel().await.reason, "first");
    assert!(stream.rest().await.is_empty(), "the cancel is sent once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_success_reported_after_the_cancel_stands() {
    let fixture = Fixture::new().await;
    let (mut stream, lease) = started(&fixture).await;
    fixture.cancel(&lease.run_id).await;
    stream.cancel().await;
    assert_eq!(stream.finish(&lease, succeeded("1")).await, "");
    let run = fixture.get(&lease.run_id).await;
    assert_eq!((run.status(), confirmed(&run), run.result_json.as_str()), (RunStatus::Succeeded, None, "1"));
    let session = fixture.session_now(&run.session_id).await;
    assert_eq!((session.succeeded_runs, session.cancelled_runs), (1, 0));
}

/// The report starts before the cancel commits and waits for it. It ends the run, but its snapshot has no cancel row to
/// remove.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_waits_for_a_cancel_leaves_no_cancel_row_behind() {
    let fixture = Fixture::waiting_long_for_locks(1).await;
    let (mut stream, lease) = started(&fixture).await;
    let (mut sql, mut looking) = (fixture.sql().await, fixture.sql().await);
    let mut held = sql.begin().await.expect("it begins");
    let lock = "SELECT FROM ops.runs WHERE id = $1::text::uuid FOR UPDATE";
    sqlx::query(lock).bind(&lease.run_id).execute(&mut *held).await.expect("it is not locked");
    let reported = async {
        waiting_for_locks(&fixture, &mut looking, 1).await;
        stream.report(&lease, succeeded("1"));
        waiting_for_locks(&fixture, &mut looking, 2).await;
        held.rollback().await.expect("the lock is released");
        assert_eq!(stream.report_ack().await.reason, "");
    };
    tokio::join!(fixture.cancel(&lease.run_id), reported);
    assert_eq!(fixture.get(&lease.run_id).await.status(), RunStatus::Succeeded);
    passes(&mut looking, 60).await;
    eventually("no order is left", async || {
        let left = sqlx::query_scalar("SELECT count(*) FROM ops.run_cancels").fetch_one(&mut looking).await;
        let left: i64 = left.expect("it is counted");
        (left == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_after_the_cancel_cancels_the_run_with_its_error_and_is_not_retried() {
    let fixture = Fixture::new().await;
    for (outcome, error) in [(failed("Broken"), Some("Broken")), (snoozed(Duration::ZERO), None)] {
        let (mut stream, lease) = started(&fixture).await;
        fixture.cancel(&lease.run_id).await;
        stream.cancel().await;
        assert_eq!(stream.finish(&lease, outcome).await, "");
        let run = fixture.get(&lease.run_id).await;
        assert_eq!((run.status(), run.attempt, confirmed(&run)), (RunStatus::Cancelled, 1, Some(true)));
        assert_eq!(run.error.as_ref().map(|error| error.r#type.as_str()), error);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_not_confirmed_in_time_ends_the_run_and_its_lease() {
    let fixture = Fixture::with(2, |_| {}).await;
    let (mut stream, lease) = started(&fixture).await;
    cancel_at(&fixture.servers[1], &lease.run_id, "no more", Duration::from_secs(1)).await;
    stream.cancel().await;
    let run = fixture.ended(&lease.run_id).await;
    assert_eq!((run.status(), confirmed(&run)), (RunStatus::Cancelled, Some(false)));
    // The grace of 1 s, plus 5 s.
    let waited = "SELECT finished_at - cancel_requested_at >= interval '6 s' FROM ops.runs";
    let waited: bool = sqlx::query_scalar(waited).fetch_one(&mut fixture.sql().await).await.expect("it is compared");
    assert!(waited);
    assert_eq!(stream.revoke().await, lease);
    assert_eq!(stream.heartbeat(std::slice::from_ref(&lease)).await.lost, std::slice::from_ref(&lease));
    assert_eq!(stream.finish(&lease, succeeded("1")).await, "LEASE_LOST");
    assert_eq!(fixture.get(&lease.run_id).await, run);
    assert_eq!(fixture.session_now(&run.session_id).await.cancelled_runs, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_does_not_shorten_the_time_to_confirm_a_cancel() {
    let fixture = Fixture::new().await;
    let (mut stream, lease) = started(&fixture).await;
    fixture.cancel(&lease.run_id).await;
    stream.cancel().await;
    let mut sql = fixture.sql().await;
    let mut outage = sql.begin().await.expect("it begins");
    passes_unserved(&mut outage, 3600).await;
    outage.commit().await.expect("an hour has passed without a lease check");
    two_lease_checks(&fixture).await;
    assert_eq!(fixture.get(&lease.run_id).await.status(), RunStatus::Running);
    assert_eq!(stream.finish(&lease, cancelled()).await, "");
    assert_eq!(confirmed(&fixture.get(&lease.run_id).await), Some(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_run_of_a_worker_that_died_after_the_cancel_is_cancelled_and_not_retried() {
    let fixture = Fixture::new().await;
    let (stream, lease) = started(&fixture).await;
    cancel_at(&fixture.servers[0], &lease.run_id, "no more", Duration::from_secs(3600)).await;
    drop(stream);
    passes(&mut fixture.sql().await, 1800).await;
    let run = fixture.ended(&lease.run_id).await;
    assert_eq!((run.status(), confirmed(&run)), (RunStatus::Cancelled, Some(false)));
    assert_eq!(run.error.expect("it is known why").r#type, "HeartbeatTimeout");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_cancelled_with_all_its_runs() {
    let fixture = Fixture::with(2, |_| {}).await;
    let (mut stream, running) = started(&fixture).await;
    let session = fixture.get(&running.run_id).await.session_id;
    stream.credit(2);
    let claimed = fixture.enqueue(&session, "any").await.id;
    let (_, claim) = stream.assigned().await;
    let queued = fixture.enqueue_many(&session, "any", 3).await;
    let untouched = fixture.enqueue(&fixture.session().await, "other").await.id;

    let request = CancelSessionRequest { session_id: session.clone(), reason: "all of it".into(), grace: None };
    let ended = fixture.servers[1].sessions().cancel_session(request.clone()).await.expect("it is there");
    let ended = ended.into_inner().session.expect("it is answered");
    assert_eq!((ended.status(), ended.total_runs), (SessionStatus::Cancelled, 5));
    assert!(ended.close_time.is_some() && ended.cancelled_runs >= 3);
    for id in &queued {
        assert_eq!(fixture.get(id).await.status(), RunStatus::Cancelled);
    }
    assert_eq!(stream.revoke().await, claim);
    assert_eq!(fixture.ended(&claimed).await.status(), RunStatus::Cancelled);
    assert_eq!(fixture.session_now(&session).await.cancelled_runs, 4);
    assert_eq!(stream.cancel().await.reason, "all of it");
    assert_eq!(stream.finish(&running, cancelled()).await, "");
    assert_eq!(fixture.session_now(&session).await.cancelled_runs, 5);
    assert_ne!(fixture.get(&untouched).await.status(), RunStatus::Cancelled);

    let refused = fixture.enqueue_spec(spec(&session, "any")).await.expect_err("it takes no more");
    assert_eq!(reason(&refused), "SESSION_CLOSED");
    let again = fixture.sessions().cancel_session(request).await.expect("it is there").into_inner();
    assert_eq!(again.session.expect("it is answered").status(), SessionStatus::Cancelled);
}

/// The state that a server leaves if it dies after the first commit of a session cancel.
#[tokio::test(flavor = "multi_thread")]
async fn a_repair_cancels_the_runs_that_an_interrupted_session_cancel_left() {
    let fixture = Fixture::new().await;
    let (mut stream, lease) = started(&fixture).await;
    let session = fixture.get(&lease.run_id).await.session_id;
    let queued = fixture.enqueue(&session, "other").await.id;
    let cancelled_alone =
        "UPDATE ops.sessions SET status = 'cancelled', closed_at = now(), cancel_reason = 'all of it',
                               cancel_grace_ms = 600000
                           WHERE id = $1::text::uuid";
    let written = sqlx::query(cancelled_alone).bind(&session).execute(&mut fixture.sql().await).await;
    written.expect("it is written");
    assert_eq!(stream.cancel().await.reason, "all of it");
    assert_eq!(fixture.ended(&queued).await.status(), RunStatus::Cancelled);
    // The first session is repaired, and stays open until its run stops. The repair finds the next one all the same.
    two_lease_checks(&fixture).await;
    let second = fixture.session().await;
    let other = fixture.enqueue(&second, "other").await.id;
    let written = sqlx::query(cancelled_alone).bind(&second).execute(&mut fixture.sql().await).await;
    written.expect("it is written");
    assert_eq!(fixture.ended(&other).await.status(), RunStatus::Cancelled);
    assert_eq!(stream.finish(&lease, cancelled()).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unary_heartbeat_returns_cancels() {
    let fixture = Fixture::with(2, |_| {}).await;
    let session = fixture.session().await;
    fixture.enqueue_many(&session, "any", 2).await;
    let mut worker = Unary::new(&fixture.servers[0], "unary");
    let (first, second) = (worker.take().await, worker.take().await);
    let leases = [first.clone(), second.clone()];
    let quiet = worker.heartbeat(&leases).await;
    assert!(quiet.cancels.is_empty() && quiet.lost.is_empty());
    cancel_at(&fixture.servers[1], &first.run_id, "no more", Duration::from_secs(7)).await;
    let answer = worker.heartbeat(&leases).await;
    assert!(answer.lost.is_empty());
    assert_eq!(answer.cancels.len(), 1);
    assert_eq!((&answer.cancels[0].run_id, answer.cancels[0].reason.as_str()), (&first.run_id, "no more"));
    assert_eq!(answer.cancels[0].grace.map(|grace| grace.seconds), Some(7));
    let run = worker.report(&first, cancelled()).await.expect("it is kept");
    assert_eq!((run.status(), confirmed(&run)), (RunStatus::Cancelled, Some(true)));
    assert!(worker.heartbeat(&[second]).await.cancels.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_handler_of_a_real_worker_is_asked_to_stop_and_confirms() {
    let fixture = Fixture::with(2, |_| {}).await;
    let begun = Arc::new(Notify::new());
    let beginning = begun.clone();
    let handle = Handle::new(move |context| {
        let begun = beginning.clone();
        async move {
            begun.notify_one();
            context.cancelled().await;
            Err(HandlerError::Cancelled)
        }
    });
    let worker = LiveWorker::start(&[&fixture.servers[0]], 1, "endless", &handle);
    let session = fixture.session().await;
    let run = fixture.enqueue(&session, "endless").await;
    in_time("the handler begins", begun.notified()).await;
    fixture.running(&run.id).await;
    cancel_at(&fixture.servers[1], &run.id, "no more", Duration::from_secs(30)).await;
    let run = fixture.ended(&run.id).await;
    assert_eq!((run.status(), confirmed(&run)), (RunStatus::Cancelled, Some(true)));
    assert_eq!(worker.stop().await.cancelled, 1);
    eventually("it is counted", async || (fixture.session_now(&session).await.cancelled_runs == 1).then_some(())).await;
}
