//! A foreign transaction keeps rows locked: only work on these rows waits, and nothing reports an outage.

use std::time::Duration;

use proto::v1::connect_response::Frame as Out;
use proto::v1::*;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Postgres, Transaction};
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{
    Fixture, Stream, Unary, eventually, failed, in_time, reason, resume, spec, succeeded, two_lease_checks,
    waiting_for_locks,
};

/// A worker that has started so many runs.
async fn busy(fixture: &Fixture, session: &str, runs: i64) -> (Stream, Vec<Lease>) {
    let mut stream = Stream::open(&fixture.servers[0]).await;
    let mut leases = Vec::new();
    for total in 1..=runs {
        fixture.enqueue(session, "any").await;
        stream.credit(total);
        let lease = stream.begin().await;
        fixture.running(&lease.run_id).await;
        leases.push(lease);
    }
    (stream, leases)
}

/// Locks the rows that a statement selects by an id, until the transaction ends.
async fn locked<'c>(c: &'c mut PgConnection, select: &'static str, id: &str) -> Transaction<'c, Postgres> {
    let mut held = c.begin().await.expect("it begins");
    let rows = sqlx::query(select).bind(id).fetch_all(&mut *held).await.expect("it is not locked");
    assert_eq!(rows.len(), 1, "it is there");
    held
}

const RUN: &str = "SELECT id FROM ops.runs WHERE id = $1::text::uuid FOR UPDATE";
const SESSION: &str = "SELECT id FROM ops.sessions WHERE id = $1::text::uuid FOR UPDATE";
const WORKER: &str = "SELECT id FROM ops.workers WHERE id = $1::text::uuid FOR UPDATE";
const CANCEL: &str = "SELECT run_id FROM ops.run_cancels WHERE run_id = $1::text::uuid FOR UPDATE";

/// The refusal says that the database is busy, and when to retry.
fn assert_busy(refused: &Status) {
    assert_eq!((refused.code(), reason(refused)), (Code::Aborted, "DATABASE_BUSY".into()), "{refused:?}");
    let retry = refused.get_details_retry_info().and_then(|info| info.retry_delay);
    assert!(retry.is_some_and(|delay| !delay.is_zero()), "{refused:?}");
}

async fn is(fixture: &Fixture, run_id: &str, status: RunStatus) {
    eventually(status.as_str_name(), async || (fixture.get(run_id).await.status() == status).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_resumes_despite_a_locked_run_and_keeps_all_runs_that_it_names() {
    let fixture = Fixture::with(2, |_| {}).await;
    let (mut first, leases) = busy(&fixture, &fixture.session().await, 3).await;
    let (mut sql, mut looking) = (fixture.sql().await, fixture.sql().await);
    let held = locked(&mut sql, RUN, &leases[0].run_id).await;

    let mut second = Stream::open_with(&fixture.servers[1], resume(&first.welcome, &leases)).await;
    let mut standing = second.welcome.standing.clone();
    standing.sort_by(|one, other| one.run_id.cmp(&other.run_id));
    assert_eq!(standing, leases);
    assert_eq!(second.welcome.stream_epoch, first.welcome.stream_epoch + 1);
    let heartbeats = "SELECT count(*) FROM ops.runs r JOIN ops.workers w ON w.id = r.worker_id
                      WHERE r.heartbeat_at > r.started_at + interval '1 ms'";
    let written: i64 = sqlx::query_scalar(heartbeats).fetch_one(&mut looking).await.expect("they are counted");
    assert_eq!(written, 2, "the resume has extended the leases of the unlocked runs");
    let ack = second.heartbeat(&leases).await;
    assert!(!ack.frozen && ack.lost.is_empty(), "{ack:?}");
    let ended = first.end().await.expect("it is ended");
    assert_eq!(reason(&ended), "STREAM_REPLACED", "the old stream can write nothing");
    for lease in &leases[1..] {
        assert_eq!(second.finish(lease, succeeded("1")).await, "");
    }
    second.report(&leases[0], succeeded("1"));
    assert!(second.rest().await.iter().all(|frame| !matches!(frame, Out::ReportAcks(_))), "it is locked");
    held.rollback().await.expect("the lock is released");
    assert_eq!(second.report_ack().await.reason, "");
    for lease in &leases {
        let run = fixture.get(&lease.run_id).await;
        assert_eq!((run.status(), run.attempt, run.fence), (RunStatus::Succeeded, 1, lease.fence));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_run_that_a_resume_does_not_name_goes_back_when_it_is_unlocked() {
    let fixture = Fixture::with(2, |_| {}).await;
    let (first, leases) = busy(&fixture, &fixture.session().await, 2).await;
    let mut sql = fixture.sql().await;
    let held = locked(&mut sql, RUN, &leases[0].run_id).await;
    let second = Stream::open_with(&fixture.servers[1], resume(&first.welcome, &[])).await;
    assert!(second.welcome.standing.is_empty());
    assert_eq!(fixture.get(&leases[1].run_id).await.status(), RunStatus::Queued, "it is not locked");
    assert_eq!(fixture.get(&leases[0].run_id).await.status(), RunStatus::Running, "it is locked");
    held.rollback().await.expect("the lock is released");
    is(&fixture, &leases[0].run_id, RunStatus::Queued).await;
    assert_eq!(fixture.get(&leases[0].run_id).await.attempt, 0, "no attempt is spent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_delayed_by_a_lock_is_written_after_the_resume() {
    let fixture = Fixture::with(2, |_| {}).await;
    let run = fixture.enqueue(&fixture.session().await, "any").await;
    let mut first = Stream::open(&fixture.servers[0]).await;
    first.credit(1);
    let (_, lease) = first.assigned().await;
    let mut sql = fixture.sql().await;
    let held = locked(&mut sql, RUN, &run.id).await;
    first.accept(std::slice::from_ref(&lease));
    assert_eq!(first.start().await.run_id, run.id);
    let welcome = first.welcome.clone();
    drop(first);
    let mut second = Stream::open_with(&fixture.servers[1], resume(&welcome, std::slice::from_ref(&lease))).await;
    assert_eq!(second.welcome.standing, std::slice::from_ref(&lease));
    assert_eq!(fixture.get(&run.id).await.status(), RunStatus::Claimed, "it is locked");
    held.rollback().await.expect("the lock is released");
    assert_eq!(fixture.running(&run.id).await.attempt, 1);
    assert_eq!(second.finish(&lease, succeeded("1")).await, "");
    assert_eq!(fixture.get(&run.id).await.attempt, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_row_is_locked_is_refused_as_busy_and_not_as_an_outage() {
    let fixture = Fixture::with(2, |_| {}).await;
    let (first, leases) = busy(&fixture, &fixture.session().await, 1).await;
    let mut sql = fixture.sql().await;
    let held = locked(&mut sql, WORKER, &first.welcome.worker_id).await;
    let refused = Stream::try_open_with(&fixture.servers[1], resume(&first.welcome, &leases)).await;
    assert_busy(&refused.expect_err("its epoch can not be raised"));
    held.rollback().await.expect("the lock is released");
    let second = Stream::open_with(&fixture.servers[1], resume(&first.welcome, &leases)).await;
    assert_eq!(second.welcome.standing, leases);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_does_not_end_while_its_run_is_locked() {
    let fixture = Fixture::new().await;
    let (mut stream, leases) = busy(&fixture, &fixture.session().await, 2).await;
    let (mut sql, mut others) = (fixture.sql().await, fixture.sql().await);
    // The lease service has just started: no lease ends until an hour has passed for it, too.
    let an_hour = "UPDATE ops.runs SET heartbeat_at = heartbeat_at - interval '1 h' WHERE id = $1::text::uuid";
    sqlx::query(an_hour).bind(&leases[0].run_id).execute(&mut others).await.expect("time passes");
    let held = locked(&mut sql, RUN, &leases[0].run_id).await;
    for an_hour in [
        "UPDATE ops.lease_service SET resumed_at = resumed_at - interval '1 h'",
        "UPDATE ops.run_leases SET due_at = due_at - interval '1 h'",
    ] {
        sqlx::query(an_hour).execute(&mut others).await.expect("time passes");
    }
    let ack = stream.heartbeat(&leases).await;
    assert!(!ack.frozen && ack.lost.is_empty(), "{ack:?}");
    held.rollback().await.expect("the lock is released");
    two_lease_checks(&fixture).await;
    two_lease_checks(&fixture).await;
    for lease in &leases {
        assert_eq!(fixture.get(&lease.run_id).await.status(), RunStatus::Running);
        assert_eq!(stream.finish(lease, succeeded("1")).await, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_worker_row_freezes_no_heartbeat() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let (mut one, of_one) = busy(&fixture, &session, 1).await;
    let (mut other, of_other) = busy(&fixture, &session, 1).await;
    let mut sql = fixture.sql().await;
    let held = locked(&mut sql, WORKER, &one.welcome.worker_id).await;
    for _ in 0..2 {
        for (stream, leases) in [(&mut one, &of_one), (&mut other, &of_other)] {
            let ack = stream.heartbeat(leases).await;
            assert!(!ack.frozen && ack.lost.is_empty(), "{ack:?}");
        }
    }
    held.rollback().await.expect("the lock is released");
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_delayed_by_a_lock_are_not_answered_as_frozen() {
    let fixture = Fixture::with(1, |config| config.engine.lease_timeout = Duration::from_secs(24)).await;
    let (mut stream, leases) = busy(&fixture, &fixture.session().await, 1).await;
    let (mut sql, mut looking) = (fixture.sql().await, fixture.sql().await);
    let mut held = sql.begin().await.expect("it begins");
    sqlx::query("LOCK TABLE ops.workers").execute(&mut *held).await.expect("it is not locked");
    stream.beat(&leases);
    let late = "SELECT clock_timestamp() - xact_start > interval '6 s' FROM pg_stat_activity WHERE pid = $1";
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *held).await.expect("it is read");
    eventually("the next heartbeat was due", async || {
        let late: bool = sqlx::query_scalar(late).bind(pid).fetch_one(&mut looking).await.expect("it is read");
        late.then_some(())
    })
    .await;
    held.rollback().await.expect("the lock is released");
    let ack = stream.heartbeat(&leases).await;
    assert!(!ack.frozen && ack.lost.is_empty(), "{ack:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_poll_finds_work_while_the_row_of_the_lease_service_is_locked() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let mut sql = fixture.sql().await;
    let mut held = sql.begin().await.expect("it begins");
    sqlx::query("SELECT FROM ops.lease_service FOR UPDATE").execute(&mut *held).await.expect("it is not locked");
    fixture.close(&session).await;
    eventually("the session is completed", async || {
        (fixture.session_now(&session).await.status() == SessionStatus::Completed).then_some(())
    })
    .await;
    held.rollback().await.expect("the lock is released");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_session_delays_no_enqueue_into_another() {
    let fixture = Fixture::new().await;
    let (blocked, open) = (fixture.session().await, fixture.session().await);
    let (mut sql, mut looking) = (fixture.sql().await, fixture.sql().await);
    let held = locked(&mut sql, SESSION, &blocked).await;
    let others = async {
        waiting_for_locks(&fixture, &mut looking, 1).await;
        fixture.enqueue(&open, "any").await;
    };
    let (refused, ()) = tokio::join!(fixture.enqueue_spec(spec(&blocked, "any")), others);
    assert_busy(&refused.expect_err("it is locked"));
    let named = |request_id: &str| RunSpec { request_id: request_id.to_owned(), ..spec(&blocked, "any") };
    assert_busy(&fixture.enqueue_spec(named("one")).await.expect_err("it is locked"));
    held.rollback().await.expect("the lock is released");
    eventually("it takes runs again", async || fixture.enqueue_spec(named("one")).await.ok()).await;
    assert_eq!(fixture.session_now(&blocked).await.total_runs, 1);
    assert_eq!(fixture.session_now(&open).await.total_runs, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_newly_locked_session_is_waited_for_by_its_own_enqueues_alone() {
    // Locks are waited for far longer than any other enqueue takes.
    let fixture = Fixture::with(1, |config| config.database.deadline = Duration::from_secs(250)).await;
    let mut open = Vec::new();
    for _ in 0..10 {
        open.push(fixture.session().await);
    }
    let enqueue = |session: &str, request_id: String| {
        let (mut runs, spec) = (fixture.runs(), RunSpec { request_id, ..spec(session, "any") });
        async move { runs.enqueue_run(EnqueueRunRequest { run: Some(spec) }).await }
    };
    let (mut waiting, mut holders) = (JoinSet::new(), Vec::new());
    for pass in 0..5 {
        let blocked = fixture.session().await;
        let mut holder = fixture.sql().await;
        let lock = AssertSqlSafe(format!("BEGIN; SELECT FROM ops.sessions WHERE id = '{blocked}' FOR UPDATE"));
        sqlx::raw_sql(lock).execute(&mut holder).await.expect("it is locked");
        holders.push(holder);
        let mut others = JoinSet::new();
        for (caller, session) in open.iter().enumerate() {
            // In one batch with calls into the locked session, with and without a request id.
            if caller < 3 {
                waiting.spawn(enqueue(&blocked, String::new()));
                waiting.spawn(enqueue(&blocked, format!("locked {pass} {caller}")));
            }
            others.spawn(enqueue(session, String::new()));
            others.spawn(enqueue(session, format!("open {pass} {caller}")));
        }
        while let Some(answer) = in_time("an enqueue into an open session", others.join_next()).await {
            answer.expect("the callers do not panic").expect("its session is not locked");
        }
        assert!(waiting.try_join_next().is_none(), "the sessions are locked");
    }
    drop(holders);
    while let Some(answer) = in_time("an enqueue into an unlocked session", waiting.join_next()).await {
        answer.expect("the callers do not panic").expect("it is not locked any more");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_session_delays_no_change_of_its_runs() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let (mut stream, leases) = busy(&fixture, &session, 2).await;
    let queued = fixture.enqueue(&session, "any").await;
    let mut sql = fixture.sql().await;
    let held = locked(&mut sql, SESSION, &session).await;
    assert_eq!(stream.finish(&leases[0], succeeded("1")).await, "");
    assert_eq!(fixture.cancel(&queued.id).await.status(), RunStatus::Cancelled);
    let counted = fixture.session_now(&session).await;
    assert_eq!((counted.total_runs, counted.succeeded_runs, counted.cancelled_runs), (3, 1, 1));
    held.rollback().await.expect("the lock is released");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_session_takes_its_counters_with_it() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    fixture.enqueue_many(&session, "any", 3).await;
    let mut sql = fixture.sql().await;
    // The session is locked, so nobody folds its counters.
    let mut held = sql.begin().await.expect("it begins");
    sqlx::query(SESSION).bind(&session).execute(&mut *held).await.expect("it is not locked");
    let delta = "INSERT INTO ops.session_deltas (tenant_id, session_id, total) VALUES ('default', $1::text::uuid, 1)";
    sqlx::query(delta).bind(&session).execute(&mut *held).await.expect("it is counted");
    let delete = "DELETE FROM ops.sessions WHERE id = $1::text::uuid";
    sqlx::query(delete).bind(&session).execute(&mut *held).await.expect("it is deleted");
    held.commit().await.expect("it is committed");
    for table in ["ops.session_deltas", "ops.runs", "ops.run_queue"] {
        let count = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let left: i64 = sqlx::query_scalar(count).fetch_one(&mut sql).await.expect("it is counted");
        assert_eq!(left, 0, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_run_delays_the_log_of_no_other_run() {
    let fixture = Fixture::waiting_long_for_locks(1).await;
    let session = fixture.session().await;
    let (mut stream, leases) = busy(&fixture, &session, 2).await;
    let (mut other, of_other) = busy(&fixture, &session, 1).await;
    let (mut sql, mut looking) = (fixture.sql().await, fixture.sql().await);
    let held = locked(&mut sql, RUN, &leases[0].run_id).await;
    stream.log(&leases[0], 1, &["locked".to_owned()]);
    waiting_for_locks(&fixture, &mut looking, 1).await;
    stream.log(&leases[1], 1, &["free".to_owned()]);
    other.log(&of_other[0], 1, &["free".to_owned()]);
    for (stream, lease) in [(&mut stream, &leases[1]), (&mut other, &of_other[0])] {
        let ack = stream.events_ack().await;
        assert_eq!((&ack.run_id, ack.through_seq, ack.reason.as_str()), (&lease.run_id, 1, ""));
    }
    stream.log(&leases[0], 2, &["after it".to_owned()]);
    held.rollback().await.expect("the lock is released");
    for seq in 1..=2 {
        let ack = stream.events_ack().await;
        assert_eq!((&ack.run_id, ack.through_seq, ack.reason.as_str()), (&leases[0].run_id, seq, ""));
    }
}

/// One run after the other is locked and reported. A statement waits for a lock for a fifth of the deadline, longer than this test waits for
/// anything; a batch of many callers waits for a moment.
#[tokio::test(flavor = "multi_thread")]
async fn reports_heartbeats_logs_and_give_backs_of_others_do_not_wait_for_a_run_that_was_just_locked() {
    let fixture = Fixture::with(1, |config| config.database.deadline = Duration::from_secs(400)).await;
    let session = fixture.session().await;
    let (mut stream, leases) = busy(&fixture, &session, 8).await;
    let (mut other, of_other) = busy(&fixture, &session, 4).await;
    let mut given = Stream::open(&fixture.servers[0]).await;
    given.credit(2);
    let to_give_back = fixture.enqueue_many(&session, "any", 2).await;
    for _ in 0..2 {
        given.assigned().await;
    }
    let mut connections = Vec::new();
    for _ in 0..5 {
        connections.push(fixture.sql().await);
    }
    let mut connections = connections.iter_mut();
    let mut held = Vec::new();
    let mut lock = async |run: &str| {
        let sql = connections.next().expect("one for each lock");
        held.push(locked(sql, RUN, run).await);
    };

    lock(&leases[0].run_id).await;
    stream.report(&leases[0], succeeded("1"));
    assert_eq!(other.finish(&of_other[0], succeeded("1")).await, "");

    lock(&leases[1].run_id).await;
    stream.report(&leases[1], failed("Broken"));
    assert_eq!(other.finish(&of_other[1], succeeded("1")).await, "");

    lock(&leases[2].run_id).await;
    stream.beat(&leases[2..]);
    assert!(other.heartbeat(&of_other[2..]).await.lost.is_empty());
    assert!(stream.heartbeat_ack().await.lost.is_empty());

    lock(&leases[3].run_id).await;
    stream.log(&leases[3], 1, &["locked".to_owned()]);
    other.log(&of_other[2], 1, &["free".to_owned()]);
    assert_eq!(other.events_ack().await.run_id, of_other[2].run_id);

    lock(&to_give_back[0]).await;
    drop(given);
    is(&fixture, &to_give_back[1], RunStatus::Queued).await;

    for run in leases[..2].iter().map(|lease| &lease.run_id) {
        assert_eq!(fixture.get(run).await.status(), RunStatus::Running, "it is still locked");
    }
    for held in held {
        held.rollback().await.expect("the lock is released");
    }
    for _ in 0..2 {
        assert_eq!(stream.report_ack().await.reason, "");
    }
    assert_eq!(stream.events_ack().await.reason, "");
    is(&fixture, &to_give_back[0], RunStatus::Queued).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unary_report_waits_for_its_locked_run_and_is_then_refused_as_busy() {
    let fixture = Fixture::new().await;
    fixture.enqueue_many(&fixture.session().await, "any", 2).await;
    let mut worker = Unary::new(&fixture.servers[0], "unary");
    let (first, second) = (worker.take().await, worker.take().await);
    let mut sql = fixture.sql().await;
    let held = locked(&mut sql, RUN, &first.run_id).await;
    assert_busy(&worker.report(&first, succeeded("1")).await.expect_err("it is locked"));
    worker.report(&second, succeeded("1")).await.expect("it is not locked");
    held.rollback().await.expect("the lock is released");
    worker.report(&first, succeeded("1")).await.expect("it is not locked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_cancel_skips_a_locked_run_and_cancels_it_when_it_is_unlocked() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let (mut stream, leases) = busy(&fixture, &session, 1).await;
    let queued = fixture.enqueue_many(&session, "any", 2).await;
    let mut sql = fixture.sql().await;
    let held = locked(&mut sql, RUN, &leases[0].run_id).await;
    let request = CancelSessionRequest { session_id: session.clone(), ..Default::default() };
    let cancelled = fixture.sessions().cancel_session(request).await.expect("it is cancelled").into_inner();
    let cancelled = cancelled.session.expect("it is answered");
    assert_eq!((cancelled.status(), cancelled.cancelled_runs), (SessionStatus::Cancelled, 2));
    for run in &queued {
        assert_eq!(fixture.get(run).await.status(), RunStatus::Cancelled);
    }
    held.rollback().await.expect("the lock is released");
    assert_eq!(stream.cancel().await.run_id, leases[0].run_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_of_a_locked_run_is_refused_as_busy() {
    let fixture = Fixture::new().await;
    let (_stream, leases) = busy(&fixture, &fixture.session().await, 1).await;
    let mut sql = fixture.sql().await;
    let held = locked(&mut sql, RUN, &leases[0].run_id).await;
    let mut runs = fixture.runs();
    let request = CancelRunRequest { run_id: leases[0].run_id.clone(), ..Default::default() };
    assert_busy(&runs.cancel_run(request.clone()).await.expect_err("it is locked"));
    held.rollback().await.expect("the lock is released");
    runs.cancel_run(request).await.expect("it is not locked");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_of_a_locked_run_is_refused_as_busy_and_not_as_in_progress() {
    let fixture = Fixture::new().await;
    let (_stream, leases) = busy(&fixture, &fixture.session().await, 1).await;
    let mut sql = fixture.sql().await;
    let held = locked(&mut sql, RUN, &leases[0].run_id).await;
    let request = |request_id: &str| CreateArtifactRequest {
        run_id: leases[0].run_id.clone(),
        kind: "text".into(),
        name: "note".into(),
        content: Some(create_artifact_request::Content::ContentText("text".into())),
        request_id: request_id.to_owned(),
        ..Default::default()
    };
    for request_id in ["", "one"] {
        assert_busy(&fixture.artifacts().create_artifact(request(request_id)).await.expect_err("it is locked"));
    }
    held.rollback().await.expect("the lock is released");
    fixture.artifacts().create_artifact(request("one")).await.expect("it is not locked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_the_database_cancels_is_not_an_outage() {
    let fixture = Fixture::new().await;
    let (_stream, leases) = busy(&fixture, &fixture.session().await, 1).await;
    let (mut sql, mut looking) = (fixture.sql().await, fixture.sql().await);
    let held = locked(&mut sql, RUN, &leases[0].run_id).await;
    let mut runs = fixture.runs();
    let request = CancelRunRequest { run_id: leases[0].run_id.clone(), ..Default::default() };
    // Cancels the statement, as a statement timeout does.
    let ended = async {
        waiting_for_locks(&fixture, &mut looking, 1).await;
        let statement = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity
                         WHERE datname = $1 AND wait_event_type = 'Lock'";
        let ended = sqlx::query(statement).bind(&fixture.database.name).execute(&mut looking).await;
        ended.expect("it is cancelled");
    };
    let (refused, ()) = tokio::join!(runs.cancel_run(request.clone()), ended);
    assert_busy(&refused.expect_err("it was cancelled"));
    held.rollback().await.expect("the lock is released");
    runs.cancel_run(request).await.expect("it is not locked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_cancel_row_keeps_no_lease_alive() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let (mut stream, leases) = busy(&fixture, &session, 2).await;
    fixture.cancel(&leases[0].run_id).await;
    stream.cancel().await;
    let (mut sql, mut others) = (fixture.sql().await, fixture.sql().await);
    let held = locked(&mut sql, CANCEL, &leases[0].run_id).await;
    for an_hour in [
        "UPDATE ops.runs SET heartbeat_at = heartbeat_at - interval '1 h'",
        "UPDATE ops.run_leases SET due_at = due_at - interval '1 h'",
        "UPDATE ops.lease_service SET resumed_at = resumed_at - interval '1 h'",
    ] {
        sqlx::query(an_hour).execute(&mut others).await.expect("time passes");
    }
    for (lease, ended) in leases.iter().zip([RunStatus::Cancelled, RunStatus::Failed]) {
        assert_eq!(fixture.ended(&lease.run_id).await.status(), ended);
    }
    held.rollback().await.expect("the lock is released");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_cancel_row_delays_no_report() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let (mut stream, leases) = busy(&fixture, &session, 2).await;
    fixture.cancel(&leases[0].run_id).await;
    stream.cancel().await;
    let mut sql = fixture.sql().await;
    let held = locked(&mut sql, CANCEL, &leases[0].run_id).await;
    stream.report(&leases[0], succeeded("1"));
    assert_eq!(stream.report_ack().await.reason, "");
    assert_eq!(stream.finish(&leases[1], succeeded("1")).await, "");
    held.rollback().await.expect("the lock is released");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_revoke_does_not_delay_the_removal_of_another() {
    let fixture = Fixture::new().await;
    let (stream, leases) = busy(&fixture, &fixture.session().await, 2).await;
    let welcome = stream.welcome.clone();
    drop(stream);
    let mut sql = fixture.sql().await;
    let revoke = "INSERT INTO ops.run_cancels (run_id, fence, tenant_id, worker_id, kind, grace_ms)
                  SELECT id, fence + 1, tenant_id, worker_id, 'revoke', 0 FROM ops.runs WHERE id = $1::text::uuid";
    let mut looking = fixture.sql().await;
    // The worker has no stream, so the revokes can not be sent yet.
    eventually("the worker is disconnected", async || {
        let away = sqlx::query_scalar("SELECT state = 'disconnected' FROM ops.workers").fetch_one(&mut looking).await;
        let away: bool = away.expect("it is read");
        away.then_some(())
    })
    .await;
    for lease in &leases {
        sqlx::query(revoke).bind(&lease.run_id).execute(&mut looking).await.expect("it is written");
    }
    let held = locked(&mut sql, CANCEL, &leases[0].run_id).await;
    let _stream = Stream::open_with(&fixture.servers[0], resume(&welcome, &leases)).await;
    eventually("the other revoke is removed", async || {
        let left = sqlx::query_scalar("SELECT count(*) FROM ops.run_cancels").fetch_one(&mut looking).await;
        let left: i64 = left.expect("they are counted");
        (left == 1).then_some(())
    })
    .await;
    held.rollback().await.expect("the lock is released");
}
