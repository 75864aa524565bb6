//! The queue always has exactly the runs that can be claimed, and the leases exactly those that are held.

use std::time::Duration;

use proto::v1::*;

use crate::support::{Fixture, Unary, eventually, failed, snoozed, spec, succeeded, two_lease_checks};

/// Counts the runs for which queue and status differ, or leases and status.
const ASTRAY: &str = "
    SELECT count(*)
    FROM (SELECT * FROM ops.runs WHERE status = 'queued' AND wait_reason IS NULL) r
    FULL JOIN ops.run_queue q
      ON (q.tenant_id, q.lane, q.kind, q.priority, q.run_after, q.run_id, q.fence)
       = (r.tenant_id, r.lane, r.kind, r.priority, r.run_after, r.id, r.fence)
    WHERE q.run_id IS NULL OR r.id IS NULL
       OR EXISTS (SELECT FROM ops.runs h
                  WHERE h.status IN ('claimed', 'running')
                    AND NOT EXISTS (SELECT FROM ops.run_leases l WHERE l.worker_id = h.worker_id AND h.id = ANY (l.run_ids)))";

/// The number of runs in the queue, after a check that no run is misplaced.
async fn queued(fixture: &Fixture) -> i64 {
    let mut sql = fixture.sql().await;
    let astray: i64 = sqlx::query_scalar(ASTRAY).fetch_one(&mut sql).await.expect("it is counted");
    assert_eq!(astray, 0, "each run is where its status says");
    sqlx::query_scalar("SELECT count(*) FROM ops.run_queue").fetch_one(&mut sql).await.expect("it is counted")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_of_a_run_changes_its_place_in_the_queue() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let again = RunSpec { max_attempts: Some(2), ..spec(&session, "any") };
    let first = fixture.enqueue_spec(again).await.expect("it is enqueued");
    let second = fixture.enqueue(&session, "any").await;
    let third = fixture.enqueue(&session, "any").await;
    assert_eq!(queued(&fixture).await, 3, "enqueued");

    fixture.cancel(&third.id).await;
    assert_eq!(queued(&fixture).await, 2, "cancelled");

    let mut worker = Unary::new(&fixture.servers[0], "unary");
    let lease = worker.take().await;
    assert_eq!((lease.run_id.as_str(), queued(&fixture).await), (first.id.as_str(), 1), "claimed");

    worker.report(&lease, failed("once")).await.expect("it is taken");
    assert_eq!(queued(&fixture).await, 2, "to be tried again");

    let lease = worker.take().await;
    assert_eq!(lease.run_id, second.id);
    worker.report(&lease, succeeded("1")).await.expect("it is taken");
    assert_eq!(queued(&fixture).await, 1, "ended");

    let lease = worker.take().await;
    worker.report(&lease, snoozed(Duration::from_secs(60))).await.expect("it is taken");
    assert_eq!(queued(&fixture).await, 0, "snoozed");

    let mut sql = fixture.sql().await;
    sqlx::query("UPDATE ops.runs SET run_after = now() WHERE wait_reason IS NOT NULL")
        .execute(&mut sql)
        .await
        .expect("time passes");
    eventually("the snoozed run is due", async || (queued(&fixture).await == 1).then_some(())).await;

    sqlx::query("DELETE FROM ops.sessions").execute(&mut sql).await.expect("it is deleted");
    let runs: i64 =
        sqlx::query_scalar("SELECT count(*) FROM ops.runs").fetch_one(&mut sql).await.expect("it is counted");
    assert_eq!((runs, queued(&fixture).await), (0, 0), "a session takes its runs with it");
}

/// Leaves so many dead rows that the queue is vacuumed.
async fn leave_dead_rows(sql: &mut sqlx::PgConnection) {
    let rows = "INSERT INTO ops.run_queue SELECT 'default', 'A', 'none', 0, now(), gen_random_uuid(), 0 FROM generate_series(1, 30000)";
    sqlx::query(rows).execute(&mut *sql).await.expect("they are added");
    sqlx::query("DELETE FROM ops.run_queue").execute(sql).await.expect("they are removed");
}

/// How often the queue was vacuumed by a command.
async fn vacuums(sql: &mut sqlx::PgConnection) -> i64 {
    let count = "SELECT vacuum_count FROM pg_stat_user_tables WHERE relid = 'ops.run_queue'::regclass";
    sqlx::query_scalar(count).fetch_one(sql).await.expect("it is counted")
}

/// Autovacuum comes once a minute at most, and is off here.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_vacuums_the_dead_rows_of_the_queue() {
    let fixture = Fixture::new().await;
    let mut sql = fixture.sql().await;
    leave_dead_rows(&mut sql).await;
    eventually("a vacuum", async || (vacuums(&mut sql).await > 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_may_not_vacuum_works_without_it() {
    let mut fixture = Fixture::with(0, |_| {}).await;
    let mut sql = fixture.sql().await;
    let role = "CREATE ROLE serves_only LOGIN; GRANT ops_engine, pg_read_all_stats TO serves_only";
    sqlx::raw_sql(role).execute(&mut sql).await.expect("it is made");
    let url = fixture.database.url.replacen("postgres://postgres@", "postgres://serves_only@", 1);
    assert_ne!(url, fixture.database.url);
    fixture.add_server(&|config: &mut server::Config| config.database_url = url.clone()).await;
    leave_dead_rows(&mut sql).await;
    eventually("there are dead rows", async || {
        let asked =
            "SELECT count(*) FROM pg_stat_user_tables WHERE relid = 'ops.run_queue'::regclass AND n_dead_tup > 20000";
        let asked: i64 = sqlx::query_scalar(asked).fetch_one(&mut sql).await.expect("it is counted");
        (asked == 1).then_some(())
    })
    .await;
    two_lease_checks(&fixture).await;
    fixture.servers.remove(0).stop().await;
    assert_eq!(vacuums(&mut sql).await, 0);
}
