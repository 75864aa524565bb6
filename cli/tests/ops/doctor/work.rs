//! Findings about activity in the database.

use sqlx::{Connection, Executor};

use super::{connect, examine, findings, ids, one, sound::sound_cluster, sql, until};
use crate::ops::fixture::Fixture;

/// A limit with which every open transaction is too long.
const AT_ONCE: [&str; 2] = ["--long-transaction", "0s"];

#[tokio::test]
async fn an_open_transaction_is_reported_with_its_session_and_ends_by_the_statement_in_the_finding() {
    let fixture = Fixture::empty().await;
    let url = fixture.database_url();
    assert_eq!(findings(&url, &AT_ONCE), []);
    let mut forgetful = connect(&format!("{url}&application_name=forgetful")).await;
    forgetful.execute("BEGIN; SELECT pg_current_xact_id()").await.unwrap();
    let (pid,): (i32,) = sqlx::query_as("SELECT pg_backend_pid()").fetch_one(&mut forgetful).await.unwrap();

    // By default, a minute is not too long.
    assert_eq!(findings(&url, &[]), []);
    let found = findings(&url, &AT_ONCE);
    assert_eq!(ids(&found), ["transaction-open"]);
    let open = one(&found, "transaction-open");
    for said in [&format!("pid {pid},"), "application 'forgetful'", "idle in transaction", "SELECT pg_backend_pid()"] {
        assert!(open.what.contains(said), "{said}: {open:?}");
    }
    assert!(open.mend.contains("idle_in_transaction_session_timeout"));
    sql(&url, open.mend.split_inclusive(';').next().unwrap()).await;
    assert!(forgetful.ping().await.is_err());
    assert_eq!(findings(&url, &AT_ONCE), []);
}

#[tokio::test]
async fn a_session_that_waits_for_a_lock_is_reported_with_the_one_that_holds_it() {
    let fixture = Fixture::empty().await;
    let url = fixture.database_url();
    let mut holder = connect(&format!("{url}&application_name=holder")).await;
    holder.execute("BEGIN; LOCK TABLE ops.runs IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut waiter = connect(&url).await;
    let waiting = async { waiter.execute("SELECT count(*) FROM ops.runs").await };
    let seeing = async {
        let url_of_look = url.clone();
        let look = move || until(|| findings(&url_of_look, &AT_ONCE), |ids| ids.contains(&"lock-waits"));
        let found = tokio::task::spawn_blocking(look).await.unwrap();
        let waits = one(&found, "lock-waits");
        assert!(waits.what.contains("(holder, idle in transaction)"), "{waits:?}");
        assert!(waits.what.contains("SELECT count(*) FROM ops.runs"), "{waits:?}");
        sql(&url, &waits.mend).await;
    };
    let (waited, ()) = tokio::join!(waiting, seeing);
    waited.unwrap();
    assert_eq!(findings(&url, &AT_ONCE), []);
}

#[tokio::test]
async fn a_session_that_a_server_waits_for_is_reported_at_once() {
    let fixture = Fixture::empty().await;
    let url = fixture.database_url();
    let mut holder = connect(&format!("{url}&application_name=holder")).await;
    holder.execute("BEGIN; LOCK TABLE ops.runs IN ACCESS EXCLUSIVE MODE").await.unwrap();
    // Named as the connections of a server are.
    let mut waiter = connect(&format!("{url}&application_name=ops")).await;
    let waiting = async { waiter.execute("SELECT count(*) FROM ops.runs").await };
    let seeing = async {
        let mut observer = connect(&url).await;
        let is_waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'ops.runs'::regclass AND NOT granted)";
        while !sqlx::query_scalar::<_, bool>(is_waiting).fetch_one(&mut observer).await.unwrap() {}
        // By default only a wait of 5 s is too long.
        let url_of_look = url.clone();
        let found = tokio::task::spawn_blocking(move || findings(&url_of_look, &[])).await.unwrap();
        let waits = one(&found, "lock-waits");
        assert!(waits.what.contains("(holder, idle in transaction)"), "{waits:?}");
        sql(&url, &waits.mend).await;
    };
    let (waited, ()) = tokio::join!(waiting, seeing);
    waited.unwrap();
    assert_eq!(findings(&url, &[]), []);
}

#[tokio::test]
async fn a_prepared_transaction_and_a_slot_that_nobody_reads_are_reported() {
    let cluster = sound_cluster(&[("max_prepared_transactions", "2"), ("wal_level", "logical")]).await;
    let url = cluster.url("ops");
    sql(&url, "BEGIN; SELECT pg_current_xact_id(); PREPARE TRANSACTION 'the coordinator''s'").await;
    sql(&url, "SELECT pg_create_physical_replication_slot('left_behind', true)").await;
    let args = [&["--database-url", &url][..], &AT_ONCE].concat();
    let (found, _) = examine(&args);
    assert_eq!(ids(&found), ["transaction-prepared", "replication-slot"]);
    let (prepared, slot) = (one(&found, "transaction-prepared"), one(&found, "replication-slot"));
    let rollback = prepared.mend.split(" or ").nth(1).unwrap();
    sql(&url, rollback.split_inclusive(';').next().unwrap()).await;
    sql(&url, slot.mend.split(": ").nth(1).unwrap()).await;
    assert_eq!(examine(&args).0, []);
}

#[tokio::test]
async fn a_table_full_of_dead_rows_is_reported_and_vacuumed() {
    let fixture = Fixture::empty().await;
    let url = fixture.database_url();
    // The shared cluster has no autovacuum.
    sql(
        &url,
        "INSERT INTO ops.run_changes (tenant_id) SELECT 't' FROM generate_series(1, 60000); DELETE FROM ops.run_changes; \
         ALTER TABLE ops.runs SET (autovacuum_enabled = false)",
    )
    .await;
    // PostgreSQL updates its counters after the commit.
    let found = until(|| findings(&url, &[]), |ids| ids == ["table-autovacuum-off", "dead-rows"]);
    let dead = one(&found, "dead-rows");
    assert!(dead.what.contains("60000 dead rows and 0 living; last vacuumed: never"), "{dead:?}");
    for finding in &found {
        sql(&url, finding.mend.split_inclusive(';').next().unwrap()).await;
    }
    until(|| findings(&url, &[]), |ids| ids.is_empty());
}
