//! The faults that tests inject, and the two URLs of a cluster.

use std::time::Duration;

use devpg::{Cluster, ClusterOptions, DevpgError, Programs};
use sqlx::{Connection, PgConnection};

async fn temporary() -> Cluster {
    Cluster::start(&Programs::find(None).unwrap(), ClusterOptions::temporary()).await.unwrap()
}

#[tokio::test]
async fn a_killed_server_comes_back_on_its_port_with_its_commits() {
    let cluster = temporary().await;
    let before = (cluster.port(), cluster.socket_dir().to_owned(), cluster.postmaster_pid().unwrap());
    let mut session = PgConnection::connect(&cluster.url("postgres")).await.unwrap();
    sqlx::raw_sql("CREATE TABLE kept AS SELECT 7 AS n").execute(&mut session).await.unwrap();

    cluster.kill_hard().await.unwrap();
    cluster.exited().await;
    assert_eq!(cluster.postmaster_pid(), None);
    assert!(session.ping().await.is_err());
    assert!(matches!(cluster.kill_hard().await, Err(DevpgError::NotRunning { .. })));

    cluster.restart().await.unwrap();
    assert_eq!((cluster.port(), cluster.socket_dir()), (before.0, before.1.as_path()));
    assert_ne!(cluster.postmaster_pid(), Some(before.2));
    let mut session = PgConnection::connect(&cluster.url("postgres")).await.unwrap();
    let n: i32 = sqlx::query_scalar("SELECT n FROM kept").fetch_one(&mut session).await.unwrap();
    assert_eq!(n, 7);
    cluster.restart().await.unwrap();
    assert_eq!(cluster.port(), before.0, "also when the server was running");
    cluster.stop().await.unwrap();
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_paused_server_answers_nobody_until_it_is_resumed() {
    let cluster = temporary().await;
    let mut session = PgConnection::connect(&cluster.url("postgres")).await.unwrap();
    cluster.pause().await.unwrap();
    let mut ping = Box::pin(session.ping());
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut ping).await.is_err());
    cluster.resume().await.unwrap();
    ping.await.unwrap();
    cluster.pause().await.unwrap();
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn tcp_needs_the_password_and_settings_are_taken() {
    let programs = Programs::find(None).unwrap();
    let options = ClusterOptions::temporary().settings(vec![("work_mem".to_owned(), "5MB".to_owned())]);
    let cluster = Cluster::start(&programs, options).await.unwrap();
    let mut session = PgConnection::connect(&cluster.tcp_url("postgres")).await.unwrap();
    let value: String = sqlx::query_scalar("SHOW work_mem").fetch_one(&mut session).await.unwrap();
    assert_eq!(value, "5MB");
    let wrong = format!("postgres://postgres:wrong@127.0.0.1:{}/postgres", cluster.port());
    let error = PgConnection::connect(&wrong).await.unwrap_err();
    assert!(error.to_string().contains("password authentication failed"), "{error}");
}

#[tokio::test]
async fn a_server_that_can_not_start_says_why() {
    let programs = Programs::find(None).unwrap();
    let options = ClusterOptions::temporary().setting("max_connections", "many");
    let error = Cluster::start(&programs, options).await.unwrap_err().to_string();
    assert!(error.contains("invalid value for parameter \"max_connections\""), "{error}");
}

#[tokio::test]
async fn a_wanted_port_that_is_taken_gives_way_to_another() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let programs = Programs::find(None).unwrap();
    let cluster = Cluster::start(&programs, ClusterOptions::temporary().port(port)).await.unwrap();
    assert_ne!(cluster.port(), port);
}
