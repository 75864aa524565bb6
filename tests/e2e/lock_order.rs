//! Statements that change many runs lock them in the order of their ids, so that no two wait for each other. If a
//! foreign transaction locks in another order, the server retries. The server skips runs that a foreign transaction
//! keeps locked.

use std::collections::HashSet;
use std::time::Duration;

use proto::v1::*;
use sqlx::{Connection, PgConnection};

use crate::support::{Fixture, Stream, eventually, in_time, spec, succeeded, waiting_for_locks};

async fn lock(c: &mut PgConnection, run_id: &str) -> Result<(), sqlx::Error> {
    let lock = "SELECT FROM ops.runs WHERE id = $1::text::uuid FOR UPDATE";
    sqlx::query(lock).bind(run_id).execute(c).await.map(drop)
}

async fn is_locked(c: &mut PgConnection, run_id: &str) -> bool {
    let try_lock = "SELECT FROM ops.runs WHERE id = $1::text::uuid FOR UPDATE NOWAIT";
    sqlx::query(try_lock).bind(run_id).execute(c).await.is_err()
}

/// Three runs that a worker has started, in the order of their ids.
async fn three(fixture: &Fixture) -> (Stream, Vec<Lease>) {
    let session = fixture.session().await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    let mut leases = Vec::new();
    for total in 1..=3 {
        fixture.enqueue_spec(spec(&session, "any")).await.expect("it is enqueued");
        stream.credit(total);
        let lease = stream.begin().await;
        fixture.running(&lease.run_id).await;
        leases.push(lease);
    }
    assert!(leases.is_sorted_by_key(|lease| lease.run_id.clone()));
    (stream, leases)
}

/// Locks the first run, lets the server do `work` on all three after `before`, and checks that it waits without a lock
/// on the others.
async fn waits_at_the_first<T>(
    fixture: &Fixture,
    leases: &[Lease],
    before: impl Future<Output = ()>,
    all_three: impl Future<Output = T>,
) -> T {
    let (mut holding, mut looking) = (fixture.sql().await, fixture.sql().await);
    let mut held = holding.begin().await.expect("it begins");
    lock(&mut held, &leases[0].run_id).await.expect("it is not locked");
    before.await;
    let let_go = async {
        waiting_for_locks(fixture, &mut looking, 1).await;
        for lease in &leases[1..] {
            assert!(!is_locked(&mut looking, &lease.run_id).await, "it waits for the first run and has locked another");
        }
        held.rollback().await.expect("the lock is released");
    };
    let (done, ()) = tokio::join!(all_three, let_go);
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_lock_in_the_order_of_ids() {
    let fixture = Fixture::waiting_long_for_locks(1).await;
    let (mut stream, leases) = three(&fixture).await;
    let (mut other, others) = three(&fixture).await;
    // Delays a batch, so that the next one has all three reports.
    let (mut sql, mut looking) = (fixture.sql().await, fixture.sql().await);
    let mut held = sql.begin().await.expect("it begins");
    lock(&mut held, &others[0].run_id).await.expect("it is not locked");
    other.report(&others[0], succeeded("1"));
    waiting_for_locks(&fixture, &mut looking, 1).await;
    let report =
        |lease: &Lease| RunReport { run_id: lease.run_id.clone(), fence: lease.fence, outcome: Some(succeeded("1")) };
    let reports = leases.iter().rev().map(report).collect();
    stream.send(connect_request::Frame::Reports(Reports { reports }));
    stream.heartbeat(&[]).await;
    let let_go = async {
        held.rollback().await.expect("the lock is released");
        assert_eq!(other.report_ack().await.reason, "");
    };
    let reporting = async {
        for _ in 0..3 {
            assert_eq!(stream.report_ack().await.reason, "");
        }
    };
    waits_at_the_first(&fixture, &leases, let_go, reporting).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_ends_one_run_and_starts_another_locks_them_in_the_order_of_ids() {
    let fixture = Fixture::waiting_long_for_locks(1).await;
    let session = fixture.session().await;
    let (mut other, others) = three(&fixture).await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    fixture.enqueue(&session, "any").await;
    stream.credit(1);
    let first = stream.begin().await;
    fixture.running(&first.run_id).await;
    fixture.enqueue(&session, "any").await;
    stream.credit(2);
    let (_, second) = stream.assigned().await;
    assert!(first.run_id < second.run_id);
    // Delays a batch, so that the next one has both the report and the start.
    let (mut sql, mut looking) = (fixture.sql().await, fixture.sql().await);
    let mut held = sql.begin().await.expect("it begins");
    lock(&mut held, &others[0].run_id).await.expect("it is not locked");
    other.report(&others[0], succeeded("1"));
    waiting_for_locks(&fixture, &mut looking, 1).await;
    stream.accept(std::slice::from_ref(&second));
    stream.start().await;
    stream.report(&first, succeeded("1"));
    stream.heartbeat(&[]).await;
    let let_go = async {
        held.rollback().await.expect("the lock is released");
        assert_eq!(other.report_ack().await.reason, "");
    };
    let both = [first, second];
    let written = async {
        assert_eq!(stream.report_ack().await.reason, "");
        fixture.running(&both[1].run_id).await;
    };
    waits_at_the_first(&fixture, &both, let_go, written).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_lock_in_the_order_of_ids() {
    let fixture = Fixture::waiting_long_for_locks(1).await;
    let (mut stream, leases) = three(&fixture).await;
    let reversed: Vec<Lease> = leases.iter().rev().cloned().collect();
    let ack = waits_at_the_first(&fixture, &leases, async {}, stream.heartbeat(&reversed)).await;
    assert!(ack.lost.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_session_locks_its_runs_in_the_order_of_ids() {
    let fixture = Fixture::new().await;
    let (_stream, leases) = three(&fixture).await;
    // A rewrite moves the first row behind the others.
    let rewrite = "UPDATE ops.runs SET labels = labels || '{\"moved\": \"yes\"}' WHERE id = $1::text::uuid";
    let moved = sqlx::query(rewrite).bind(&leases[0].run_id).execute(&mut fixture.sql().await).await;
    moved.expect("it is rewritten");
    let session_id = fixture.get(&leases[0].run_id).await.session_id;
    let mut sessions = fixture.sessions();
    let cancel = sessions.cancel_session(CancelSessionRequest { session_id, ..Default::default() });
    waits_at_the_first(&fixture, &leases, async {}, cancel).await.expect("it is cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_with_another_transaction_is_retried() {
    let fixture = Fixture::new().await;
    let session_id = fixture.session().await;
    let runs = fixture.enqueue_many(&session_id, "any", 2).await;
    let (mut sql, mut looking) = (fixture.sql().await, fixture.sql().await);
    // The foreign transaction looks for deadlocks late, so that the server finds this one.
    sqlx::query("SET deadlock_timeout = '10 s'").execute(&mut sql).await.expect("it is set");
    let mut foreign = sql.begin().await.expect("it begins");
    lock(&mut foreign, &runs[1]).await.expect("it is not locked");
    let mut sessions = fixture.sessions();
    let cancel = sessions.cancel_session(CancelSessionRequest { session_id, ..Default::default() });
    let in_the_wrong_order = async {
        waiting_for_locks(&fixture, &mut looking, 1).await;
        // On a very busy machine the foreign transaction may find the deadlock. Then the test proves nothing, but is
        // not wrong.
        let _ = lock(&mut foreign, &runs[0]).await;
        foreign.rollback().await.expect("the lock is released");
    };
    let (cancelled, ()) = tokio::join!(cancel, in_the_wrong_order);
    let cancelled = cancelled.expect("it was retried").into_inner().session.expect("it is answered");
    assert_eq!((cancelled.status(), cancelled.cancelled_runs), (SessionStatus::Cancelled, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_locked_by_another_transaction_delays_only_itself() {
    let fixture = Fixture::new().await;
    let (mut stream, leases) = three(&fixture).await;
    let (mut sql, mut looking) = (fixture.sql().await, fixture.sql().await);
    let mut heartbeats = async || -> Vec<f64> {
        let statement = "SELECT extract(epoch FROM heartbeat_at)::float8 FROM ops.runs ORDER BY id";
        sqlx::query_scalar(statement).fetch_all(&mut looking).await.expect("they are read")
    };
    let before = heartbeats().await;
    let mut held = sql.begin().await.expect("it begins");
    lock(&mut held, &leases[0].run_id).await.expect("it is not locked");

    let ack = stream.heartbeat(&leases).await;
    assert!(!ack.frozen && ack.lost.is_empty(), "{ack:?}");
    let after = heartbeats().await;
    assert_eq!(after[0], before[0], "it is locked");
    assert!(after[1] > before[1] && after[2] > before[2], "{before:?} {after:?}");

    let report =
        |lease: &Lease| RunReport { run_id: lease.run_id.clone(), fence: lease.fence, outcome: Some(succeeded("1")) };
    stream.send(connect_request::Frame::Reports(Reports { reports: leases.iter().map(report).collect() }));
    let mut ended = HashSet::new();
    while ended.len() < 2 {
        let acks = stream.next_unless_ended(|frame| match frame {
            connect_response::Frame::ReportAcks(list) => Some(list.results),
            _ => None,
        });
        for ack in in_time("reports are answered", acks).await.expect("the stream continues") {
            assert_eq!(ack.reason, "");
            ended.insert(ack.run_id);
        }
    }
    assert!(!ended.contains(&leases[0].run_id), "it is locked");
    held.rollback().await.expect("the lock is released");
    let last = stream.report_ack().await;
    assert_eq!((last.run_id, last.reason.as_str()), (leases[0].run_id.clone(), ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_locked_by_another_transaction_is_given_back_after_the_others() {
    // No lease ends during the test.
    let fixture = Fixture::with(1, |config| config.engine.lease_timeout = Duration::from_secs(600)).await;
    let session = fixture.session().await;
    let runs = fixture.enqueue_many(&session, "any", 2).await;
    let stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(2);
    for run in &runs {
        eventually("it is given", async || (fixture.get(run).await.status() == RunStatus::Claimed).then_some(())).await;
    }
    let mut sql = fixture.sql().await;
    let mut held = sql.begin().await.expect("it begins");
    lock(&mut held, &runs[0]).await.expect("it is not locked");
    drop(stream);
    let queued = async |run: &str| (fixture.get(run).await.status() == RunStatus::Queued).then_some(());
    eventually("the other is given back", async || queued(&runs[1]).await).await;
    assert_eq!(fixture.get(&runs[0]).await.status(), RunStatus::Claimed);
    held.rollback().await.expect("the lock is released");
    eventually("both are given back", async || queued(&runs[0]).await).await;
}
