//! What a start waits for, and what it refuses.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::support::{Fixture, Server, eventually, get, in_time, reason};

/// A session that holds the lock of migrations.
async fn holder(fixture: &Fixture) -> PgConnection {
    let mut holder = fixture.sql().await;
    let hold = "SET application_name = 'holder'; SELECT pg_advisory_lock(hashtext('ops.bootstrap'))";
    sqlx::raw_sql(hold).execute(&mut holder).await.expect("it is free");
    holder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_waits_for_another_to_migrate_says_so_and_serves_when_it_is_done() {
    let fixture = Fixture::with(0, |_| {}).await;
    let holder = holder(&fixture).await;
    let server = Server::start(server::Config::new(&fixture.database.url)).await;
    let address = server.url.trim_start_matches("http://").to_owned();
    assert_eq!(get(&address, "/healthz").await.0, 200);
    let (status, body) = get(&address, "/readyz").await;
    assert!(status == 503 && body.contains("migrated"), "{status} {body}");
    let request = proto::v1::ListSessionsRequest::default();
    let refused = server.sessions().list_sessions(request.clone()).await.expect_err("it does not serve yet");
    assert_eq!((refused.code(), reason(&refused)), (tonic::Code::Unavailable, "DATABASE_UNAVAILABLE".into()));
    holder.close().await.expect("it ends");
    eventually("it serves", async || server.sessions().list_sessions(request.clone()).await.ok()).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_waits_too_long_for_another_to_migrate_fails_and_names_it() {
    let fixture = Fixture::with(0, |_| {}).await;
    let holder = holder(&fixture).await;
    let mut config = server::Config::new(&fixture.database.url);
    config.migrate_timeout = Duration::from_millis(500);
    let error = in_time("the end of the wait", server::migrate(&config)).await.expect_err("it is locked");
    assert!(error.to_string().contains("(holder, idle for "), "{error}");
    drop(holder);

    // The same for a table that another transaction has locked.
    let mut locker = fixture.sql().await;
    sqlx::raw_sql("SET application_name = 'locker'; BEGIN; LOCK TABLE ops._functions")
        .execute(&mut locker)
        .await
        .expect("it is locked");
    let error = in_time("the end of the wait", server::migrate(&config)).await.expect_err("it is locked");
    assert!(error.to_string().contains("(locker, idle in transaction for "), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_waits_can_be_ended() {
    let fixture = Fixture::with(0, |_| {}).await;
    let _holder = holder(&fixture).await;
    let server = Server::start(server::Config::new(&fixture.database.url)).await;
    in_time("the end of the server", server.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_with_another_encoding_is_refused_at_the_start() {
    let cluster = devpg::testing::shared();
    let mut sql = PgConnection::connect(&cluster.url("postgres")).await.expect("it answers");
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let name = format!("ops_{}", encoding.to_lowercase());
        let create =
            format!("CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut sql).await.expect("it is created");
        for migrate in [true, false] {
            let mut config = server::Config::new(cluster.url(&name));
            config.migrate = migrate;
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let started = in_time("a refusal", server::run(listener, config, CancellationToken::new())).await;
            let error = started.expect_err("it is not UTF-8").to_string();
            assert!(error.contains(encoding) && error.contains("UTF8 is needed"), "{error}");
        }
        cluster.drop_database(&name).await.expect("it is dropped");
    }
}
