//! A database whose clock goes back by an hour, as after a fail-over to a machine whose clock differs.

use std::collections::BTreeMap;
use std::time::Duration;

use devpg::{Clock, Cluster, ClusterOptions, Programs};
use prost_types::Timestamp;
use proto::v1::*;
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

use crate::program::open_folder;
use crate::support::{Server, Stream, Unary, Watcher, eventually, hello, snoozed, spec, succeeded};

const HOUR: i64 = 3600;

/// A PostgreSQL with a clock of its own.
struct Database {
    cluster: Cluster,
    clock: Clock,
    _folder: TempDir,
}

impl Database {
    async fn start() -> Self {
        let folder = open_folder();
        let clock = Clock::in_folder(folder.path()).expect("it is written");
        let clock = clock.expect("libfaketime is missing: run `make environments`");
        let options = ClusterOptions::temporary().clock(&clock);
        let cluster = Cluster::start(&Programs::find(None).expect("PostgreSQL"), options).await.expect("it starts");
        cluster.create_database("ops").await.expect("it is created");
        Self { cluster, clock, _folder: folder }
    }

    fn url(&self) -> String {
        self.cluster.url("ops")
    }

    /// Sets the clock this much ahead of the machine's, or back.
    fn set_clock(&self, seconds: i64) {
        self.clock.set(seconds).expect("it is written");
    }

    async fn sql(&self) -> PgConnection {
        PgConnection::connect(&self.url()).await.expect("it answers")
    }
}

async fn run_of(server: &Server, spec: RunSpec) -> Run {
    let request = EnqueueRunRequest { run: Some(spec) };
    server.runs().enqueue_run(request).await.expect("it is enqueued").into_inner().run.expect("it is answered")
}

async fn get(server: &Server, run: &Run) -> Run {
    let request = GetRunRequest { run_id: run.id.clone() };
    server.runs().get_run(request).await.expect("it is there").into_inner().run.expect("it is answered")
}

/// A session of this server, which may still be starting.
async fn session_of(server: &Server) -> String {
    let request = CreateSessionRequest { name: "clock".into(), ..Default::default() };
    let answer = eventually("a session", async || server.sessions().create_session(request.clone()).await.ok());
    answer.await.into_inner().session.expect("it is answered").id
}

/// A worker that takes runs of one kind, and its first run, which has started.
async fn working(server: &Server, kind: &str) -> (Stream, Lease) {
    let mut stream = Stream::open_with(server, Hello { kinds: vec![kind.to_owned()], ..hello(kind) }).await;
    stream.credit(1);
    let lease = stream.begin().await;
    (stream, lease)
}

/// What waits for the clock does not wait for an hour longer, and no living worker loses its run.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_in_the_future_counts_as_now() {
    let database = Database::start().await;
    let mut config = server::Config::new(database.url());
    config.engine.lease_timeout = Duration::from_secs(2);
    let server = Server::start(config).await;
    let session = session_of(&server).await;
    let of_kind = |kind: &str| RunSpec { max_attempts: Some(2), ..spec(&session, kind) };
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });

    // One worker dies, one lives, one does not stop its run, one puts its run off, and one has no stream and is silent.
    let mut runs = BTreeMap::new();
    for kind in ["lost", "held", "stopped", "put-off", "unary"] {
        runs.insert(kind, run_of(&server, of_kind(kind)).await);
    }
    let far = Timestamp { seconds: 4_000_000_000, nanos: 0 };
    let scheduled = run_of(&server, RunSpec { run_after_time: Some(far), ..of_kind("scheduled") }).await;
    let (dying, _) = working(&server, "lost").await;
    let (mut living, held) = working(&server, "held").await;
    let (mut silent, stopped) = working(&server, "stopped").await;
    let (mut putting_off, put_off) = working(&server, "put-off").await;
    let claim = ClaimRequest { kinds: vec!["unary".into()], lease_timeout: seconds(1), ..Default::default() };
    assert_eq!(Unary::new(&server, "unary").claim(claim).await.expect("it claims").len(), 1);
    eventually("the start is written", async || {
        (get(&server, &runs["stopped"]).await.status() == RunStatus::Running).then_some(())
    })
    .await;
    let cancel = CancelRunRequest { run_id: stopped.run_id.clone(), reason: String::new(), grace: seconds(0) };
    server.runs().cancel_run(cancel).await.expect("it runs");
    silent.cancel().await;
    assert_eq!(putting_off.finish(&put_off, snoozed(Duration::from_secs(2))).await, "");
    let token = Watcher::all(&server).await.bookmark().await;
    drop(dying);

    database.set_clock(-HOUR);
    eventually("all of it goes on", async || {
        let ack = living.heartbeat(std::slice::from_ref(&held)).await;
        assert!(ack.lost.is_empty(), "the living worker keeps its run: {ack:?}");
        silent.heartbeat(std::slice::from_ref(&stopped)).await;
        for kind in ["lost", "put-off", "unary"] {
            let run = get(&server, &runs[kind]).await;
            if run.status() != RunStatus::Queued || run.wait_reason() != WaitReason::Unspecified {
                return None;
            }
        }
        (get(&server, &runs["stopped"]).await.status() == RunStatus::Cancelled).then_some(())
    })
    .await;
    let cancelled = get(&server, &runs["stopped"]).await.cancellation.expect("it was cancelled");
    assert_eq!(cancelled.confirmed, Some(false));
    let scheduled = get(&server, &scheduled).await;
    assert_eq!((scheduled.run_after_time, scheduled.wait_reason()), (Some(far), WaitReason::Scheduled));
    assert_eq!(living.finish(&held, succeeded("1")).await, "");

    // The feed forgets changes by their age, and the age of this token is not known.
    let refused = Watcher::resume(&server, &token).await.err().expect("it is refused");
    assert_eq!(client::reason(&refused).as_deref(), Some("REVISION_COMPACTED"), "{refused:?}");
    let later = Watcher::all(&server).await.bookmark().await;
    Watcher::resume(&server, &later).await.expect("it is of this clock");
    eventually("the repair ends", async || {
        let state = "SELECT is_set_back, set_back_at < clock_timestamp() FROM ops.lease_service";
        let state: (bool, bool) = sqlx::query_as(state).fetch_one(&mut database.sql().await).await.expect("it is read");
        (state == (false, true)).then_some(())
    })
    .await;
}

/// A list begins with the newest run, also if the clock of a server differs from that of the database.
#[tokio::test(flavor = "multi_thread")]
async fn lists_are_in_the_order_of_the_clock_of_the_database() {
    let database = Database::start().await;
    for ahead in [HOUR, -HOUR] {
        database.set_clock(ahead);
        // Each begins with the wrong time.
        let server = Server::start(server::Config::new(database.url())).await;
        let session = session_of(&server).await;
        two_polls(&database).await;
        let mut c = database.sql().await;
        sqlx::raw_sql("SET ops.tenant_id = 'default'").execute(&mut c).await.expect("it is set");
        let mut enqueued = Vec::new();
        for _ in 0..3 {
            // The server knows the time of the database to within a round trip, and this is longer.
            enqueued.push(run_of(&server, spec(&session, "any")).await.id);
            two_polls(&database).await;
            let call = "SELECT ops.enqueue_run($1::text::uuid, 'A', 'any')::text";
            enqueued.push(sqlx::query_scalar(call).bind(&session).fetch_one(&mut c).await.expect("it is enqueued"));
            two_polls(&database).await;
        }
        enqueued.reverse();
        let filter = RunFilter { session_id: session.clone(), ..Default::default() };
        let request = ListRunsRequest { filter: Some(filter), page_size: 100, ..Default::default() };
        let listed = server.runs().list_runs(request).await.expect("they are listed").into_inner().runs;
        assert_eq!(listed.iter().map(|run| run.id.clone()).collect::<Vec<_>>(), enqueued, "{ahead}");
        server.stop().await;
    }
}

/// Waits until the server has asked for the time of the database, and has noted the answer: that is when it asks again.
async fn two_polls(database: &Database) {
    let mut c = database.sql().await;
    let mut last = None;
    for _ in 0..3 {
        last = eventually("a poll", async || {
            let checked = "SELECT checked_at::text FROM ops.lease_service";
            let checked: String = sqlx::query_scalar(checked).fetch_one(&mut c).await.expect("it is read");
            (last.as_ref() != Some(&checked)).then_some(Some(checked))
        })
        .await;
    }
}
