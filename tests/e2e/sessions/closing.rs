//! A closed session takes no more runs, and is completed when its last run has ended, not before.

use proto::v1::*;
use sqlx::Connection;
use tokio::task::JoinSet;

use crate::support::{Fixture, Stream, eventually, reason, spec, succeeded, waiting_for_locks};

async fn status(fixture: &Fixture, session: &str, status: SessionStatus) -> Session {
    eventually("the session's status", async || {
        Some(fixture.session_now(session).await).filter(|session| session.status() == status)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_session_is_completed_when_its_last_run_has_ended() {
    let fixture = Fixture::with(2, |_| {}).await;
    let session = fixture.session().await;
    fixture.enqueue_many(&session, "any", 2).await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(2);
    let leases = [stream.begin().await, stream.begin().await];
    assert_eq!(stream.finish(&leases[0], succeeded("1")).await, "");
    let closed = fixture.close(&session).await;
    assert_eq!((closed.status(), closed.total_runs), (SessionStatus::Active, 2));
    let again = fixture.close(&session).await;
    assert_eq!(again.close_time, closed.close_time, "closing again does nothing");
    // Waits for a fold after the close.
    let mut sql = fixture.sql().await;
    eventually("all is folded", async || {
        let left = sqlx::query_scalar("SELECT count(*) FROM ops.session_deltas").fetch_one(&mut sql).await;
        let left: i64 = left.expect("it is counted");
        (left == 0).then_some(())
    })
    .await;
    assert_eq!(fixture.session_now(&session).await.status(), SessionStatus::Active);
    assert_eq!(stream.finish(&leases[1], succeeded("1")).await, "");
    let completed = status(&fixture, &session, SessionStatus::Completed).await;
    assert_eq!((completed.total_runs, completed.succeeded_runs), (2, 2));
    let cancel = CancelSessionRequest { session_id: session, ..Default::default() };
    let cancelled = fixture.sessions().cancel_session(cancel).await.expect("it is there").into_inner();
    assert_eq!(
        cancelled.session.expect("it is answered").status(),
        SessionStatus::Completed,
        "a completed session stays completed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_does_not_change_a_session_whose_runs_have_all_ended_before_its_counters_are_folded() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    fixture.enqueue(&session, "any").await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    let lease = stream.begin().await;
    // No server polls, so no counter is folded.
    let mut unpolled = fixture.sql().await;
    let lock = "BEGIN; LOCK TABLE ops.lease_service IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut unpolled).await.expect("it is locked");
    assert_eq!(stream.finish(&lease, succeeded("1")).await, "");
    assert_eq!(fixture.close(&session).await.status(), SessionStatus::Active, "it is not folded");
    let cancel = CancelSessionRequest { session_id: session.clone(), ..Default::default() };
    let answer = fixture.sessions().cancel_session(cancel.clone()).await.expect("it is there").into_inner();
    let completed = answer.session.expect("it is answered");
    assert_eq!(
        (completed.status(), completed.succeeded_runs, completed.cancelled_runs, completed.total_runs),
        (SessionStatus::Completed, 1, 0, 1)
    );
    drop(unpolled);
    assert_eq!(fixture.session_now(&session).await, completed, "and it stays so");

    // One that still takes runs is cancelled, even if none is left.
    let open = fixture.session().await;
    let cancel = CancelSessionRequest { session_id: open, ..cancel };
    let answer = fixture.sessions().cancel_session(cancel).await.expect("it is there").into_inner();
    assert_eq!(answer.session.expect("it is answered").status(), SessionStatus::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_session_without_runs_is_completed() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    fixture.close(&session).await;
    assert_eq!(status(&fixture, &session, SessionStatus::Completed).await.total_runs, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_closed_or_missing_takes_no_runs() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    fixture.close(&session).await;
    let refused = fixture.enqueue_spec(spec(&session, "any")).await.expect_err("it is closed");
    assert_eq!((refused.code(), reason(&refused)), (tonic::Code::FailedPrecondition, "SESSION_CLOSED".into()));
    let nobodys = uuid::Uuid::now_v7().to_string();
    let refused = fixture.enqueue_spec(spec(&nobodys, "any")).await.expect_err("it is not there");
    assert_eq!((refused.code(), reason(&refused)), (tonic::Code::NotFound, "SESSION_NOT_FOUND".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_run_enters_a_session_after_its_close_was_answered() {
    let fixture = Fixture::with(2, |_| {}).await;
    for _ in 0..4 {
        let session = fixture.session().await;
        let mut enqueuers = JoinSet::new();
        for caller in 0..16 {
            let mut runs = fixture.servers[caller % 2].runs();
            let request = EnqueueRunRequest { run: Some(spec(&session, "any")) };
            enqueuers.spawn(async move {
                let mut enqueued = 0;
                loop {
                    match runs.enqueue_run(request.clone()).await {
                        Ok(_) => enqueued += 1,
                        Err(refused) => {
                            assert_eq!(reason(&refused), "SESSION_CLOSED");
                            return enqueued;
                        }
                    }
                }
            });
        }
        // Closes the session while runs are enqueued.
        eventually("some are enqueued", async || (fixture.session_now(&session).await.total_runs > 50).then_some(()))
            .await;
        let closed = fixture.close(&session).await;
        let mut acknowledged = 0;
        while let Some(enqueued) = enqueuers.join_next().await {
            acknowledged += enqueued.expect("the callers do not panic");
        }
        assert_eq!(closed.total_runs, acknowledged, "the close counts exactly the acknowledged runs");
        assert_eq!(fixture.session_now(&session).await.total_runs, acknowledged);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_waits_for_an_enqueue_that_has_begun() {
    let fixture = Fixture::with(2, |_| {}).await;
    let session = fixture.session().await;
    // The server's enqueue waits for this lock after it has found the session open.
    let mut sql = fixture.sql().await;
    let mut looking = fixture.sql().await;
    let hold = "CREATE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql
                    AS 'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END';
                CREATE TRIGGER hold BEFORE INSERT ON ops.runs FOR EACH ROW EXECUTE FUNCTION public.hold()";
    sqlx::raw_sql(hold).execute(&mut sql).await.expect("it is made");
    let mut foreign = sql.begin().await.expect("it begins");
    sqlx::query("SELECT pg_advisory_xact_lock(1)").execute(&mut *foreign).await.expect("it is locked");
    let enqueuing = fixture.enqueue(&session, "any");
    let closing = async {
        waiting_for_locks(&fixture, &mut looking, 1).await;
        let let_go = async {
            waiting_for_locks(&fixture, &mut fixture.sql().await, 2).await;
            foreign.commit().await.expect("the lock is released");
        };
        let (closed, ()) = tokio::join!(fixture.close(&session), let_go);
        closed
    };
    let (_, closed) = tokio::join!(enqueuing, closing);
    assert_eq!(closed.total_runs, 1, "the run was there before the session was closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_waits_for_an_enqueue_by_sql_that_is_not_committed() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let mut sql = fixture.sql().await;
    let mut foreign = sql.begin().await.expect("it begins");
    let tenant = "SELECT set_config('ops.tenant_id', 'default', true)";
    sqlx::query(tenant).execute(&mut *foreign).await.expect("a tenant is set");
    let enqueue = "SELECT ops.enqueue_run($1::text::uuid, 'A', 'any')";
    sqlx::query(enqueue).bind(&session).execute(&mut *foreign).await.expect("it is enqueued");
    let let_go = async {
        waiting_for_locks(&fixture, &mut fixture.sql().await, 1).await;
        foreign.commit().await.expect("it commits");
    };
    let (closed, ()) = tokio::join!(fixture.close(&session), let_go);
    assert_eq!(closed.total_runs, 1);
    let after = sqlx::query(enqueue).bind(&session).execute(&mut *sql.begin().await.expect("it begins")).await;
    after.expect_err("no tenant is set, and the session is closed");
}
