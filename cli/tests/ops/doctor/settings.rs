//! Findings about settings, and about free connections.

use super::{examine, findings, ids, one, sound::sound_cluster, sql, until};
use crate::ops::fixture::Fixture;

#[tokio::test]
async fn settings_that_lose_data_or_keep_dead_rows_are_found() {
    let cluster = sound_cluster(&[("fsync", "off"), ("autovacuum", "off"), ("synchronous_commit", "off")]).await;
    let url = cluster.url("ops");
    let (found, _) = examine(&["--database-url", &url]);
    assert_eq!(ids(&found), ["fsync-off", "synchronous-commit-off", "autovacuum-off"]);
    assert!(found.iter().all(|it| it.severity == "error"));
    let fsync = one(&found, "fsync-off");
    assert!(fsync.why.contains("ruin the whole database"), "{fsync:?}");
    // A setting on the command line of PostgreSQL wins over every file.
    assert!(fsync.mend.contains("restart it with `-c fsync=on`"), "{fsync:?}");
}

#[tokio::test]
async fn settings_in_the_configuration_of_postgresql_are_found_and_mended_by_the_statement_in_the_finding() {
    let cluster = sound_cluster(&[]).await;
    let url = cluster.url("ops");
    let faults = "ALTER SYSTEM SET track_counts = off; ALTER SYSTEM SET default_transaction_isolation = 'repeatable read'; \
         ALTER SYSTEM SET session_replication_role = replica; SELECT pg_reload_conf()";
    sql(&url, faults).await;
    // Each process of the database gets the settings by a signal.
    let look = || examine(&["--database-url", &url]).0;
    let found = until(look, |ids| ids == ["track-counts-off", "isolation", "replication-role"]);
    for finding in &found {
        sql(&url, &finding.mend).await;
    }
    until(look, |ids| ids.is_empty());
}

#[tokio::test]
async fn a_synchronous_standby_that_is_gone_is_found_although_reads_work() {
    let cluster = sound_cluster(&[]).await;
    let url = cluster.url("ops");
    sql(&url, "ALTER SYSTEM SET synchronous_standby_names = 'gone'; SELECT pg_reload_conf()").await;
    let look = || examine(&["--database-url", &url]).0;
    let found = until(look, |ids| ids == ["synchronous-standby"]);
    let finding = one(&found, "synchronous-standby");
    assert!(finding.severity == "error" && finding.what.contains("\"gone\""), "{finding:?}");
    let statements = finding.mend.split_once("ALTER").map(|(_, rest)| format!("ALTER{rest}"));
    sql(&url, &statements.unwrap()).await;
    until(look, |ids| ids.is_empty());
}

#[tokio::test]
async fn settings_of_a_role_or_a_database_are_found_and_reset() {
    let fixture = Fixture::empty().await;
    let url = fixture.database_url();
    sql(&url, "CREATE ROLE settled SUPERUSER LOGIN").await;
    let joe = super::as_role(&url, "settled");
    let database = url.split('/').nth(3).unwrap().split('?').next().unwrap().to_owned();
    assert_eq!(findings(&joe, &[]), []);
    for (id, severity, fault, said) in [
        ("statement-timeout", "error", "ALTER ROLE settled SET statement_timeout = '200ms'", "200 ms"),
        ("statement-timeout", "warning", "ALTER DATABASE @ SET statement_timeout = '30s'", "30000 ms"),
        ("lock-timeout", "warning", "ALTER ROLE settled IN DATABASE @ SET lock_timeout = '1s'", "1000 ms"),
        ("idle-session-timeout", "warning", "ALTER ROLE settled SET idle_session_timeout = '1min'", "60000 ms"),
        ("read-only", "error", "ALTER DATABASE @ SET default_transaction_read_only = on", "is on"),
        ("isolation", "error", "ALTER DATABASE @ SET default_transaction_isolation = 'serializable'", "serializable"),
        ("row-security-off", "error", "ALTER ROLE settled SET row_security = off", "row_security is off"),
        ("synchronous-commit-off", "error", "ALTER DATABASE @ SET synchronous_commit = off", "is off"),
        ("connection-limit", "error", "ALTER DATABASE @ CONNECTION LIMIT 5", "may have 5 connections"),
        ("connection-limit", "error", "ALTER ROLE settled CONNECTION LIMIT 3", "may have 3 connections"),
    ] {
        sql(&url, &fault.replace('@', &database)).await;
        let found = findings(&joe, &[]);
        assert_eq!(ids(&found), [id], "{fault}");
        let finding = one(&found, id);
        assert_eq!(finding.severity, severity, "{fault}");
        assert!(finding.what.contains(said), "{fault}: {finding:?}");
        // A session that is read-only may still reset the setting.
        sql(&url, &format!("SET default_transaction_read_only = off; {}", finding.mend)).await;
        assert_eq!(findings(&joe, &[]), [], "{fault}");
    }
    sql(&url, "DROP ROLE settled").await;
}

#[tokio::test]
async fn too_few_connections_and_no_free_connections_have_different_findings() {
    let cluster = sound_cluster(&[("max_connections", "15")]).await;
    let url = cluster.url("ops");
    let (found, _) = examine(&["--database-url", &url]);
    assert_eq!(ids(&found), ["max-connections"]);
    let finding = one(&found, "max-connections");
    assert!(finding.what.contains("takes 12 connections, and one server may want 20"), "{finding:?}");
    assert!(finding.mend.contains("--database-connections 10"), "{finding:?}");
    assert_eq!(examine(&["--database-url", &url, "--database-connections", "10"]).0, []);

    let mut taken = Vec::new();
    for _ in 0..4 {
        taken.push(super::connect(&url).await);
    }
    let (found, _) = examine(&["--database-url", &url, "--database-connections", "10"]);
    assert_eq!(ids(&found), ["connections-few"]);
    assert!(one(&found, "connections-few").what.contains("8 connections are left"), "{found:?}");

    sql(&url, "CREATE ROLE late LOGIN; GRANT ops_engine, ops_owner, pg_read_all_stats TO late").await;
    let late = super::as_role(&url, "late");
    while let Ok(connection) = <sqlx::PgConnection as sqlx::Connection>::connect(&late).await {
        taken.push(connection);
    }
    let (found, _) = examine(&["--database-url", &late, "--database-connections", "10"]);
    assert_eq!(ids(&found), ["connections-taken"]);
    assert!(one(&found, "connections-taken").mend.contains("pg_stat_activity"));
}

#[tokio::test]
async fn a_table_that_can_not_be_replicated_is_reported_and_mended_by_the_statement_in_the_finding() {
    let fixture = Fixture::empty().await;
    let url = fixture.database_url();
    sql(&url, "ALTER TABLE ops.run_queue REPLICA IDENTITY DEFAULT; ALTER TABLE ops.runs REPLICA IDENTITY NOTHING")
        .await;
    let found = findings(&url, &[]);
    assert_eq!(ids(&found), ["replica-identity"; 2]);
    assert!(found.iter().all(|it| it.severity == "warning"), "{found:?}");
    sql(&url, "CREATE PUBLICATION everything FOR ALL TABLES").await;
    let found = findings(&url, &[]);
    assert!(found.len() == 2 && found.iter().all(|it| it.severity == "error"), "{found:?}");
    for finding in found {
        sql(&url, &finding.mend).await;
    }
    assert_eq!(findings(&url, &[]), []);
}

#[tokio::test]
async fn a_clock_that_has_gone_back_is_reported() {
    let fixture = Fixture::empty().await;
    let url = fixture.database_url();
    sql(&url, "UPDATE ops.lease_service SET checked_at = clock_timestamp() + interval '1 hour'").await;
    let found = findings(&url, &[]);
    assert_eq!(ids(&found), ["clock-set-back"]);
    assert!(
        one(&found, "clock-set-back").what.contains("3600 s") || one(&found, "clock-set-back").what.contains("3599 s")
    );
}
