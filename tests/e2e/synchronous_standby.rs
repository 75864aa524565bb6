//! A synchronous standby that is gone: reads work, and no commit ends.

use std::time::Duration;

use devpg::{Cluster, ClusterOptions, Programs};
use proto::v1::*;
use sqlx::Connection;

use crate::metrics::scrape;
use crate::support::{Fixture, eventually, get, reason, spec};

const CONNECTIONS: u32 = 8;

async fn fixture() -> (Fixture, Cluster) {
    let programs = Programs::find(None).expect("PostgreSQL is installed");
    let cluster = Cluster::start(&programs, ClusterOptions::temporary()).await.expect("it starts");
    cluster.create_database("ops").await.expect("a database is created");
    let url = cluster.url("ops");
    server::migrate(&server::Config::new(&url)).await.expect("it is migrated");
    let database = devpg::testing::TestDatabase { url, name: "ops".into() };
    let mut fixture = Fixture { database, servers: Vec::new() };
    fixture
        .add_server(&|config: &mut server::Config| {
            config.database.max_connections = CONNECTIONS;
            config.database.deadline = Duration::from_secs(1);
        })
        .await;
    (fixture, cluster)
}

/// Names the standby for which commits wait.
async fn wait_for_standby(cluster: &Cluster, name: &str) {
    let mut sql = sqlx::PgConnection::connect(&cluster.url("postgres")).await.expect("reads work");
    let set = format!("ALTER SYSTEM SET synchronous_standby_names = '{name}'; ");
    for statement in [set.as_str(), "SELECT pg_reload_conf()"] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut sql).await.expect("it is set");
    }
    eventually("the setting is read", async || {
        let mut sql = sqlx::PgConnection::connect(&cluster.url("postgres")).await.ok()?;
        let names: String = sqlx::query_scalar("SHOW synchronous_standby_names").fetch_one(&mut sql).await.ok()?;
        (names == name).then_some(())
    })
    .await;
}

/// The processes that serve this program's connections.
async fn processes(cluster: &Cluster) -> i64 {
    let mut sql = sqlx::PgConnection::connect(&cluster.url("postgres")).await.expect("reads work");
    let count = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'ops' AND application_name = 'ops'";
    sqlx::query_scalar(count).fetch_one(&mut sql).await.expect("they are counted")
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_wait_for_a_standby_that_is_gone_are_ended_and_the_server_says_why_it_is_not_ready() {
    let (fixture, cluster) = fixture().await;
    let session = fixture.session().await;
    let run = fixture.enqueue(&session, "any").await.id;
    eventually("it is ready", async || (get(&fixture.address(), "/readyz").await.0 == 200).then_some(())).await;
    wait_for_standby(&cluster, "gone").await;

    let mut most = 0;
    while scrape(&fixture).await.value("ops_database_abandoned_total") < f64::from(3 * CONNECTIONS) {
        let calls = (0..CONNECTIONS).map(|_| {
            let (mut sessions, mut runs, run_id) = (fixture.sessions(), fixture.runs(), run.clone());
            async move {
                let request = CreateSessionRequest { name: "lost".into(), ..Default::default() };
                let created = sessions.create_session(request).await.map(drop);
                let cancel = CancelRunRequest { run_id, reason: "lost".into(), grace: None };
                [created, runs.cancel_run(cancel).await.map(drop)]
            }
        });
        for answer in futures::future::join_all(calls).await.into_iter().flatten() {
            // The first cancel is committed here, and the others have nothing to write.
            let Err(refused) = answer else { continue };
            assert!(
                ["DATABASE_UNAVAILABLE", "OVERLOADED", "DATABASE_BUSY"].contains(&&*reason(&refused)),
                "{refused:?}"
            );
        }
        most = most.max(processes(&cluster).await);
    }
    // One more ends the others.
    assert!(most <= i64::from(CONNECTIONS) + 1, "{most} processes");

    let (_, body) = eventually("the reason is known", async || {
        let (status, body) = get(&fixture.address(), "/readyz").await;
        assert!(status == 503 || !body.contains("synchronous"), "{status} {body}");
        (status == 503 && body.contains("commits wait for a synchronous standby")).then_some((status, body))
    })
    .await;
    assert!(body.contains("'gone'"), "{body}");

    wait_for_standby(&cluster, "").await;
    eventually("it is ready again", async || (get(&fixture.address(), "/readyz").await.0 == 200).then_some(())).await;
    eventually("nothing is left behind", async || {
        (scrape(&fixture).await.value("ops_database_abandoned") == 0.0).then_some(())
    })
    .await;
    fixture.enqueue_spec(spec(&session, "any")).await.expect("it works as before");
    assert!(processes(&cluster).await <= i64::from(CONNECTIONS) + 1);
}
