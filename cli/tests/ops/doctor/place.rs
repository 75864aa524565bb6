//! Findings about the database at the URL.

use std::{fs, net::TcpListener};

use super::{as_role, examine, findings, ids, one, sound::sound_cluster, sql};
use crate::ops::{fixture::Fixture, program::ops};

#[tokio::test]
async fn each_reason_for_a_failed_connection_has_its_own_finding() {
    let fixture = Fixture::empty().await;
    let url = fixture.database_url();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let by_tcp = devpg::testing::shared().tcp_url("postgres");
    let wrong_password = {
        let (before, place) = by_tcp.rsplit_once('@').unwrap();
        format!("{}:hunter2@{place}", before.rsplit_once(':').unwrap().0)
    };
    for (id, url, said) in [
        ("database-url", "nonsense".to_owned(), "can not be understood"),
        ("database-url", "mysql://u:hunter2@h/d".to_owned(), "expected postgres:// or postgresql://"),
        ("database-dns", "postgres://u:hunter2@nowhere.invalid/d".to_owned(), "nowhere.invalid:5432"),
        ("database-refused", format!("postgres://u:hunter2@{closed}/d"), "nobody listens"),
        ("database-socket", "postgres://u@localhost/d?host=/nowhere".to_owned(), "/nowhere"),
        ("database-password", wrong_password, "does not take the password of role postgres"),
        ("database-tls", format!("{by_tcp}?sslmode=require"), "TLS"),
        ("database-missing", url.replace("/test_", "/no_such_test_"), "no_such_test_"),
        ("database-role", as_role(&url, "nobody_at_all"), "nobody_at_all"),
    ] {
        let (found, ended) = examine(&["--database-url", &url]);
        assert_eq!(ids(&found), [id], "{url}");
        assert!(one(&found, id).what.contains(said), "{found:?}");
        assert!(!ended.stdout.contains("hunter2"), "{ended:?}");
    }
}

#[tokio::test]
async fn a_port_that_hangs_or_is_no_postgresql_is_reported_within_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://u@{}/d", listener.local_addr().unwrap());
    // The kernel accepts the connection, and no program ever answers.
    let (found, _) = examine(&["--database-url", &url]);
    assert_eq!(ids(&found), ["database-silent"]);

    let mut fixture = Fixture::empty().await;
    fixture.serve(&[]);
    let url = fixture.address().replace("http://", "postgres://u@") + "/d";
    assert_eq!(ids(&examine(&["--database-url", &url]).0), ["not-postgresql"]);
}

#[tokio::test]
async fn a_standby_is_reported_and_becomes_primary_by_the_statement_in_the_finding() {
    let cluster = sound_cluster(&[]).await;
    let url = cluster.url("ops");
    let signal = cluster.data_dir().join("standby.signal");
    fs::write(&signal, "").unwrap();
    // The file must belong to the cluster's user.
    let owner = fs::metadata(cluster.data_dir()).unwrap();
    use std::os::unix::fs::{MetadataExt, chown};
    chown(&signal, Some(owner.uid()), Some(owner.gid())).unwrap();
    cluster.restart().await.unwrap();
    let (found, _) = examine(&["--database-url", &url]);
    assert_eq!(ids(&found), ["standby"]);
    assert!(one(&found, "standby").mend.contains("SELECT pg_promote();"));
    sql(&url, "SELECT pg_promote()").await;
    assert_eq!(examine(&["--database-url", &url]).0, []);
}

#[tokio::test]
async fn a_schema_that_is_missing_older_newer_or_different_is_reported() {
    let fixture = Fixture::empty().await;
    let url = fixture.database_url();
    let empty = devpg::testing::database("blank", async |_| Ok::<(), String>(())).await;
    let found = findings(&empty.url, &[]);
    assert_eq!(ids(&found), ["schema-missing"]);
    assert!(one(&found, "schema-missing").mend.starts_with("`ops migrate`"));
    ops(&["migrate", "--database-url", &empty.url]).success();
    assert_eq!(findings(&empty.url, &[]), []);

    let newest = "version = (SELECT max(version) FROM ops._sqlx_migrations)";
    for (id, severity, fault) in [
        ("schema-old", "error", format!("DELETE FROM ops._sqlx_migrations WHERE {newest}")),
        (
            "schema-newer",
            "warning",
            "INSERT INTO ops._sqlx_migrations VALUES (9999, 'of tomorrow', now(), true, '', 1)".to_owned(),
        ),
        ("schema-changed", "error", format!("UPDATE ops._sqlx_migrations SET checksum = '' WHERE {newest}")),
    ] {
        sql(&url, &format!("CREATE TABLE before AS TABLE ops._sqlx_migrations; {fault}")).await;
        let found = findings(&url, &[]);
        assert_eq!(ids(&found), [id], "{found:#?}");
        assert_eq!(one(&found, id).severity, severity);
        sql(&url, "TRUNCATE ops._sqlx_migrations; INSERT INTO ops._sqlx_migrations TABLE before; DROP TABLE before")
            .await;
    }
    for (id, severity, fault) in [
        ("functions-old", "error", "UPDATE ops._functions SET source = '' WHERE name = 'enqueue_run'"),
        (
            "functions-newer",
            "warning",
            "UPDATE ops._functions SET release = '{99,0,0}', source = CASE name WHEN 'enqueue_run' THEN '' ELSE source END",
        ),
    ] {
        sql(&url, &format!("CREATE TABLE before AS TABLE ops._functions; {fault}")).await;
        let found = findings(&url, &[]);
        assert_eq!(ids(&found), [id], "{found:#?}");
        assert_eq!(one(&found, id).severity, severity);
        assert!(one(&found, id).what.ends_with(": enqueue_run"), "{found:#?}");
        sql(&url, "TRUNCATE ops._functions; INSERT INTO ops._functions TABLE before; DROP TABLE before").await;
    }
    assert_eq!(findings(&url, &[]), []);
}

#[tokio::test]
async fn an_unlogged_table_is_reported_and_mended() {
    let fixture = Fixture::empty().await;
    let url = fixture.database_url();
    sql(&url, "ALTER TABLE ops.run_changes SET UNLOGGED").await;
    let found = findings(&url, &[]);
    assert_eq!(ids(&found), ["unlogged"]);
    sql(&url, &one(&found, "unlogged").mend).await;
    assert_eq!(findings(&url, &[]), []);
}
