//! A NOTIFY only wakes its listeners: a server that misses one finds the work a second later.

use proto::v1::*;

use crate::support::{Fixture, Stream, Watcher, cancelled, eventually};

/// Ends the connections on which the servers listen for wakeups, as a restart of a pooler does.
async fn cut_listeners(fixture: &Fixture) {
    let mut sql = fixture.sql().await;
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = $1 AND application_name = 'ops' AND query ILIKE 'LISTEN%'";
    eventually("the servers listen", async || {
        let ended = sqlx::query_scalar(end).bind(&fixture.database.name).fetch_one(&mut sql).await;
        let ended: i64 = ended.expect("they are ended");
        (ended >= fixture.servers.len() as i64).then_some(())
    })
    .await;
}

/// Enqueues by SQL, without a wakeup.
async fn enqueue_without_wakeup(fixture: &Fixture, session: &str) -> String {
    let insert = "WITH run AS (INSERT INTO ops.runs (tenant_id, session_id, lane, kind)
                               VALUES ('default', $1::text::uuid, 'A', 'any') RETURNING *),
                       queued AS (INSERT INTO ops.run_queue (tenant_id, lane, kind, priority, run_after, run_id, fence)
                                  SELECT tenant_id, lane, kind, priority, run_after, id, fence FROM run),
                       fed AS (INSERT INTO ops.run_changes (tenant_id, run_ids) SELECT 'default', ARRAY[id] FROM run)
                  SELECT id::text FROM run";
    sqlx::query_scalar(insert).bind(session).fetch_one(&mut fixture.sql().await).await.expect("it is inserted")
}

#[tokio::test(flavor = "multi_thread")]
async fn work_changes_and_cancels_are_found_without_a_wakeup() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let mut watcher = Watcher::all(&fixture.servers[0]).await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    // The dispatcher has found nothing, and waits.
    stream.heartbeat(&[]).await;
    let run = enqueue_without_wakeup(&fixture, &session).await;
    let lease = stream.begin().await;
    assert_eq!(lease.run_id, run);
    watcher.sees(&run, RunStatus::Running).await;

    let ask = "WITH asked AS (UPDATE ops.runs SET cancel_requested_at = now(), cancel_reason = 'by hand', cancel_grace_ms = 5000
                              RETURNING id, fence, tenant_id, worker_id)
               INSERT INTO ops.run_cancels (run_id, fence, tenant_id, worker_id, kind, grace_ms, reason)
               SELECT id, fence, tenant_id, worker_id, 'cancel', 5000, 'by hand' FROM asked";
    sqlx::query(ask).execute(&mut fixture.sql().await).await.expect("it is asked for");
    assert_eq!(stream.cancel().await.reason, "by hand");
    assert_eq!(stream.finish(&lease, cancelled()).await, "");
    watcher.sees(&run, RunStatus::Cancelled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_whose_listeners_are_cut_miss_nothing() {
    let fixture = Fixture::with(2, |_| {}).await;
    let session = fixture.session().await;
    let mut watcher = Watcher::all(&fixture.servers[1]).await;
    let mut stream = Stream::open(&fixture.servers[1]).await;
    for pass in 1..=3 {
        cut_listeners(&fixture).await;
        let run = fixture.enqueue(&session, "any").await;
        stream.credit(pass);
        let lease = stream.begin().await;
        fixture.running(&run.id).await;
        cut_listeners(&fixture).await;
        fixture.cancel(&run.id).await;
        assert_eq!(stream.cancel().await.run_id, run.id);
        assert_eq!(stream.finish(&lease, cancelled()).await, "");
        watcher.sees(&run.id, RunStatus::Cancelled).await;
    }
}
