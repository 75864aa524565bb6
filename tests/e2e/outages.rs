//! Outages of the database, which hangs or is down: the server reports an outage, does not hang, and loses nothing.

use std::time::Duration;

use devpg::{Cluster, ClusterOptions, Programs};
use proto::v1::*;
use sqlx::{Connection, PgConnection};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::{Fixture, Stream, Unary, Watcher, eventually, in_time, reason, spec, succeeded};

/// A fixture with its own PostgreSQL cluster.
async fn fixture_on_its_own_cluster() -> (Fixture, Cluster) {
    let programs = Programs::find(None).expect("PostgreSQL is installed");
    // Data without a commit is written late, so that a crash loses as much as it can.
    let options = ClusterOptions::temporary().setting("wal_writer_delay", "10s");
    let cluster = Cluster::start(&programs, options).await.expect("it starts");
    cluster.create_database("ops").await.expect("a database is created");
    let url = cluster.url("ops");
    server::migrate(&server::Config::new(&url)).await.expect("it is migrated");
    let database = devpg::testing::TestDatabase { url, name: "ops".into() };
    let mut fixture = Fixture { database, servers: Vec::new() };
    fixture
        .add_server(&|config: &mut server::Config| {
            config.database.deadline = Duration::from_secs(1);
        })
        .await;
    (fixture, cluster)
}

/// Waits until the server reports that its database is back.
async fn back(fixture: &Fixture) {
    let mut sessions = fixture.sessions();
    eventually("the server serves again", async || sessions.list_sessions(ListSessionsRequest::default()).await.ok())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_are_frozen_and_nothing_is_lost_while_the_database_hangs() {
    let (fixture, cluster) = fixture_on_its_own_cluster().await;
    let session = fixture.session().await;
    let run = fixture.enqueue(&session, "any").await;
    let mut watcher = Watcher::all(&fixture.servers[0]).await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    let lease = stream.begin().await;
    fixture.running(&run.id).await;

    cluster.pause().await.expect("it hangs");
    let calls = async {
        let refused = in_time("an answer", fixture.enqueue_spec(spec(&session, "any"))).await.expect_err("it hangs");
        assert_eq!((refused.code(), reason(&refused)), (tonic::Code::Unavailable, "DATABASE_UNAVAILABLE".into()));
        let get = fixture.runs().get_run(GetRunRequest { run_id: run.id.clone() }).await;
        assert_eq!(reason(&get.expect_err("it hangs")), "DATABASE_UNAVAILABLE");
    };
    let ack = stream.heartbeat(std::slice::from_ref(&lease)).await;
    assert!(ack.frozen && ack.lost.is_empty(), "the worker may continue");
    calls.await;
    // A report during the outage is stored as soon as the database is back.
    stream.report(&lease, succeeded("1"));
    let ack = stream.heartbeat(std::slice::from_ref(&lease)).await;
    assert!(ack.frozen, "the report is still on its way");
    cluster.resume().await.expect("it continues");
    back(&fixture).await;
    assert_eq!(stream.report_ack().await.reason, "");
    watcher.sees(&run.id, RunStatus::Succeeded).await;
    let next = fixture.enqueue(&session, "any").await;
    stream.credit(2);
    assert_eq!(stream.begin().await.run_id, next.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_database_comes_back_with_all_acknowledged_work() {
    let (fixture, cluster) = fixture_on_its_own_cluster().await;
    let session = fixture.session().await;
    let mut watcher = Watcher::all(&fixture.servers[0]).await;
    let mut acknowledged = Vec::new();
    for outage in 0..2 {
        for _ in 0..20 {
            acknowledged.push(fixture.enqueue(&session, "any").await.id);
        }
        cluster.kill_hard().await.expect("it is killed");
        let refused = fixture.enqueue_spec(spec(&session, "any")).await.expect_err("it is away");
        assert_eq!(reason(&refused), "DATABASE_UNAVAILABLE", "outage {outage}");
        cluster.restart().await.expect("it comes back");
        back(&fixture).await;
    }
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(acknowledged.len() as i64);
    for _ in 0..acknowledged.len() {
        let lease = stream.begin().await;
        assert!(acknowledged.contains(&lease.run_id));
        assert_eq!(stream.finish(&lease, succeeded("1")).await, "");
    }
    for id in &acknowledged {
        watcher.sees(id, RunStatus::Succeeded).await;
    }
    let counted = fixture.session_now(&session).await;
    assert_eq!((counted.total_runs, counted.succeeded_runs), (40, 40));
}

/// A transaction that writes nothing. Returns its number.
async fn rolled_back(c: &mut PgConnection) -> u64 {
    let mut transaction = c.begin().await.expect("it begins");
    let number =
        sqlx::query_scalar::<_, String>("SELECT pg_current_xact_id()::text").fetch_one(&mut *transaction).await;
    transaction.rollback().await.expect("it is rolled back");
    number.expect("it has a number").parse().expect("it is a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_watch_repeats_nothing_when_transaction_numbers_gain_a_digit() {
    let (fixture, _cluster) = fixture_on_its_own_cluster().await;
    let session = fixture.session().await;
    let mut c = fixture.sql().await;
    fixture.enqueue(&session, "any").await;
    assert!(rolled_back(&mut c).await < 1_000, "the cluster is new");
    while rolled_back(&mut c).await < 1_000 {}
    fixture.enqueue(&session, "any").await;
    let token = Watcher::all(&fixture.servers[0]).await.bookmark().await;
    let mut watcher = Watcher::resume(&fixture.servers[0], &token).await.expect("the token holds");
    watcher.bookmark().await;
    assert!(watcher.runs.is_empty(), "it has seen them all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_resumed_after_a_crash_misses_no_run_whose_transaction_number_is_used_again() {
    let (fixture, cluster) = fixture_on_its_own_cluster().await;
    let session = fixture.session().await;
    fixture.enqueue(&session, "any").await;
    // Nobody else commits, so nothing of the following reaches the disk.
    let mut foreign = fixture.sql().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE ops.lease_service IN EXCLUSIVE MODE")
        .execute(&mut foreign)
        .await
        .expect("it is locked");
    let mut forgotten = fixture.sql().await;
    for _ in 0..50 {
        rolled_back(&mut forgotten).await;
    }
    let token = Watcher::all(&fixture.servers[0]).await.bookmark().await;
    cluster.kill_hard().await.expect("it is killed");
    cluster.restart().await.expect("it comes back");
    back(&fixture).await;

    let mut runs = Vec::new();
    for _ in 0..20 {
        runs.push(fixture.enqueue(&session, "any").await.id);
    }
    let mut watcher = Watcher::resume(&fixture.servers[0], &token).await.expect("the token holds");
    for id in &runs {
        watcher.sees(id, RunStatus::Queued).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_opens_no_connection_is_an_outage() {
    let (fixture, _cluster) = fixture_on_its_own_cluster().await;
    let session = fixture.session().await;
    let mut admin = fixture.sql().await;
    let close = "ALTER ROLE CURRENT_ROLE NOLOGIN;
                 SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid()";
    sqlx::raw_sql(close).execute(&mut admin).await.expect("all others are ended");
    // The first calls get broken connections, the others get none.
    for _ in 0..40 {
        let refused = fixture.enqueue_spec(spec(&session, "any")).await.expect_err("no connection is opened");
        assert_eq!((refused.code(), reason(&refused)), (tonic::Code::Unavailable, "DATABASE_UNAVAILABLE".into()));
    }
    sqlx::raw_sql("ALTER ROLE CURRENT_ROLE LOGIN").execute(&mut admin).await.expect("it is opened");
    back(&fixture).await;
    fixture.enqueue(&session, "any").await;
}

/// Makes sure that the server has read everything that was sent before.
async fn has_read(fixture: &Fixture) {
    for _ in 0..3 {
        let refused = fixture.runs().get_run(GetRunRequest { run_id: "none".into() }).await;
        assert_eq!(reason(&refused.expect_err("no id")), "INVALID_FIELD");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_dropped_while_the_database_hangs_undo_no_later_write() {
    let (mut fixture, cluster) = fixture_on_its_own_cluster().await;
    fixture.servers.clear();
    fixture.add_server(&|config: &mut server::Config| config.database.deadline = Duration::from_secs(30)).await;
    let session = fixture.session().await;
    let run = fixture.enqueue(&session, "any").await.id;
    let cancel = || {
        let (mut runs, run_id) = (fixture.runs(), run.clone());
        async move { runs.cancel_run(CancelRunRequest { run_id, ..Default::default() }).await }
    };
    let mut workers = Vec::new();
    for worker in 0..20 {
        let mut worker = Unary::new(&fixture.servers[0], &format!("worker {worker}"));
        worker.claim(ClaimRequest::default()).await.expect("it claims");
        workers.push(worker.worker_id);
    }
    // All connections are open and idle.
    futures::future::join_all((0..40).map(|_| cancel())).await;

    cluster.pause().await.expect("it hangs");
    // Each call has asked for a transaction, and has no answer when it is dropped.
    let dropped = futures::future::join_all((0..40).map(|_| cancel()));
    let answered = tokio::time::timeout(Duration::from_millis(300), dropped).await;
    assert!(answered.is_err(), "no call is answered");
    has_read(&fixture).await;
    cluster.resume().await.expect("it continues");

    // Writes of a single statement, without a COMMIT after it.
    let drain = |worker_id: &String| {
        let (mut client, worker_id) = (fixture.workers(), worker_id.clone());
        async move { client.drain_worker(DrainWorkerRequest { worker_id }).await.map(drop) }
    };
    let drained: Result<Vec<()>, _> = futures::future::join_all(workers.iter().map(drain)).await.into_iter().collect();
    drained.expect("they are drained");
    let there = "SELECT count(*) FROM ops.workers WHERE drain_requested_at IS NOT NULL";
    let there: i64 = sqlx::query_scalar(there).fetch_one(&mut fixture.sql().await).await.expect("they are counted");
    assert_eq!(there, 20, "acknowledged runs are committed");
}

/// A proxy before a database that delays each new connection.
async fn slow_to_open(url: &str, delay: Duration) -> (String, JoinSet<()>) {
    let (credentials, rest) = url.split_once('@').expect("a user");
    let (address, name) = rest.split_once('/').expect("a database");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let slow = format!("{credentials}@{}/{name}", listener.local_addr().expect("it is bound"));
    let address = address.to_owned();
    let mut relay = JoinSet::new();
    relay.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut client, _)) = listener.accept().await {
            let address = address.clone();
            connections.spawn(async move {
                tokio::time::sleep(delay).await;
                let mut server = TcpStream::connect(address).await.expect("the database answers");
                // Either side may close the connection.
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (slow, relay)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_opens_connections_slower_than_calls_wait_is_still_reached() {
    let (mut fixture, cluster) = fixture_on_its_own_cluster().await;
    fixture.servers.clear();
    let (slow, _relay) = slow_to_open(&cluster.tcp_url("ops"), Duration::from_millis(2_500)).await;
    fixture.add_server(&|config: &mut server::Config| config.database_url = slow.clone()).await;
    back(&fixture).await;
    fixture.session().await;
}
