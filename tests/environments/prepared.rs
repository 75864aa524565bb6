//! A transaction that is prepared first and committed later, as by a coordinator of several databases.

use devpg::{Cluster, ClusterOptions, Programs};
use proto::v1::*;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::support::{Server, Stream, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_enqueued_in_a_prepared_transaction() {
    let options = ClusterOptions::temporary().setting("max_prepared_transactions", "2");
    let cluster = Cluster::start(&Programs::find(None).expect("PostgreSQL"), options).await.expect("it starts");
    cluster.create_database("ops").await.expect("it is created");
    let server = Server::start(server::Config::new(cluster.url("ops"))).await;
    let session = CreateSessionRequest { name: "prepared".into(), ..Default::default() };
    let session = eventually("a session", async || server.sessions().create_session(session.clone()).await.ok()).await;
    let session = session.into_inner().session.expect("it is answered").id;
    let mut stream = Stream::open(&server).await;
    stream.credit(1);

    let mut c = PgConnection::connect(&cluster.url("ops")).await.expect("it answers");
    let enqueue = format!(
        "SET ops.tenant_id = 'default'; BEGIN; SELECT ops.enqueue_run('{session}', 'A', 'any'); PREPARE TRANSACTION 'both'"
    );
    sqlx::raw_sql(AssertSqlSafe(enqueue)).execute(&mut c).await.expect("it is prepared");
    assert!(stream.rest().await.is_empty(), "no run is assigned before the commit");
    sqlx::raw_sql("COMMIT PREPARED 'both'").execute(&mut c).await.expect("it is committed");
    let lease = stream.begin().await;

    // Runs that are deleted do not notify either.
    let delete = format!("BEGIN; DELETE FROM ops.runs WHERE id = '{}'; PREPARE TRANSACTION 'gone'", lease.run_id);
    sqlx::raw_sql(AssertSqlSafe(delete)).execute(&mut c).await.expect("it is prepared");
    sqlx::raw_sql("ROLLBACK PREPARED 'gone'").execute(&mut c).await.expect("it is rolled back");

    // A caller who wants a wakeup at once gives that up.
    let notify = format!(
        "BEGIN; SET LOCAL ops.notify_in_transaction = on; SELECT ops.enqueue_run('{session}', 'A', 'any'); \
         PREPARE TRANSACTION 'loud'"
    );
    sqlx::raw_sql(AssertSqlSafe(notify)).execute(&mut c).await.expect_err("a NOTIFY can not be prepared");
}
