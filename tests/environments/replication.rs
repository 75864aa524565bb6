//! A second database that follows all tables by logical replication, as in an upgrade without downtime.

use devpg::{Cluster, ClusterOptions, Programs};
use proto::v1::*;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::support::{Server, Stream, cancelled, eventually, failed, hello, spec, succeeded};

async fn cluster() -> Cluster {
    let options = ClusterOptions::temporary().setting("wal_level", "logical");
    let cluster = Cluster::start(&Programs::find(None).expect("PostgreSQL"), options).await.expect("it starts");
    cluster.create_database("ops").await.expect("it is created");
    server::migrate(&server::Config::new(cluster.url("ops"))).await.expect("it is migrated");
    cluster
}

async fn execute(c: &mut PgConnection, statement: String) {
    let done = sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(c).await;
    done.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// What a table holds, as a hash that does not depend on the order of rows.
async fn content(c: &mut PgConnection, table: &str) -> (i64, Option<String>) {
    let hash = format!("SELECT count(*), md5(string_agg(t::text, ',' ORDER BY t::text)) FROM ops.{table} t");
    sqlx::query_as(AssertSqlSafe(hash)).fetch_one(c).await.expect("it is read")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_to_all_tables_follows_each_change_of_a_run() {
    let (publisher, subscriber) = (cluster().await, cluster().await);
    let mut from = PgConnection::connect(&publisher.url("ops")).await.expect("it answers");
    let mut to = PgConnection::connect(&subscriber.url("ops")).await.expect("it answers");
    execute(&mut from, "CREATE PUBLICATION everything FOR ALL TABLES".into()).await;
    // The subscriber has the rows of its own migration.
    execute(&mut to, "TRUNCATE ops.lease_service, ops._functions, ops._sqlx_migrations".into()).await;
    let place = publisher.socket_dir().display();
    let connection = format!("host={place} port={} user=postgres dbname=ops", publisher.port());
    execute(&mut to, format!("CREATE SUBSCRIPTION follower CONNECTION '{connection}' PUBLICATION everything")).await;

    let server = Server::start(server::Config::new(publisher.url("ops"))).await;
    let session = CreateSessionRequest { name: "followed".into(), ..Default::default() };
    let session = eventually("a session", async || server.sessions().create_session(session.clone()).await.ok()).await;
    let session = session.into_inner().session.expect("it is answered").id;
    let mut stream = Stream::open_with(&server, Hello { kinds: vec!["any".into()], ..hello("any") }).await;
    stream.credit(4);
    let outcomes = [succeeded("1"), failed("Any"), cancelled()];
    for outcome in outcomes {
        let run = RunSpec { max_attempts: Some(1), ..spec(&session, "any") };
        let request = EnqueueRunRequest { run: Some(run) };
        server.runs().enqueue_run(request).await.expect("it is enqueued");
        let lease = stream.begin().await;
        stream.log(&lease, 1, &["a line".into()]);
        stream.events_ack().await;
        assert_eq!(stream.finish(&lease, outcome).await, "");
    }
    let waiting = EnqueueRunRequest { run: Some(spec(&session, "other")) };
    server.runs().enqueue_run(waiting).await.expect("it is enqueued");
    drop(stream);
    server.stop().await;

    let tables =
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'ops'::regnamespace AND relkind = 'r' ORDER BY 1";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut from).await.expect("they are listed");
    assert!(tables.iter().any(|table| table == "run_queue"));
    for table in tables {
        let published = content(&mut from, &table).await;
        eventually(&format!("ops.{table} is followed"), async || {
            (content(&mut to, &table).await == published).then_some(())
        })
        .await;
    }
    assert_eq!(content(&mut to, "run_queue").await.0, 1, "claimed runs have left the queue");
    assert_eq!(content(&mut to, "runs").await.0, 4);

    // The subscriber takes over.
    let take_over = "DROP SUBSCRIPTION follower; TRUNCATE ops.run_changes;
                     SELECT setval(pg_get_serial_sequence(t, 'id'), 1000000000000)
                     FROM unnest(ARRAY['ops.session_deltas', 'ops.run_leases', 'ops.run_changes']) AS t";
    for statement in take_over.split_inclusive(';') {
        execute(&mut to, statement.to_owned()).await;
    }
    let server = Server::start(server::Config::new(subscriber.url("ops"))).await;
    let mut stream = Stream::open(&server).await;
    stream.credit(1);
    let lease = stream.begin().await;
    assert_eq!(stream.finish(&lease, succeeded("1")).await, "");
    let request = GetSessionRequest { session_id: session };
    let session = server.sessions().get_session(request).await.expect("it is there").into_inner().session;
    let session = session.expect("it is answered");
    assert_eq!((session.total_runs, session.succeeded_runs, session.failed_runs), (4, 2, 1));
}
