//! A database that was never analysed, as a new one is for some minutes: what a read costs depends on its answer, not on statistics.

use futures::FutureExt;
use futures::future::BoxFuture;
use proto::v1::*;
use sqlx::PgConnection;

use crate::support::{Fixture, Server, Unary, eventually, in_time, reason};

/// Rows of the larger tables.
const RUNS: i64 = 200_000;
const EVENTS: i64 = 50_000;
const RECORDS: i64 = 20_000;
/// Runs of the session that is listed and watched.
const OWN_RUNS: i64 = 2_000;

/// What each list is asked for.
const PAGE: i32 = 500;
const PAGES: i64 = 3;

/// The session with [`OWN_RUNS`], and the newest of its runs, which has all events and artifacts.
const SESSION: &str = "01980000-0000-7000-8000-00000000000a";
const RUN: &str = "01990000-0000-7000-8000-00000000000a";

/// Fills the tables without triggers, and keeps the statistics away.
async fn fill(sql: &mut PgConnection) {
    let id = |prefix: &str| format!("('{prefix}-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid");
    let (run, record) = (id("01980001"), id("01980000"));
    let statements = [
        "ALTER TABLE ops.runs SET (autovacuum_enabled = false)".to_owned(),
        "ALTER TABLE ops.sessions SET (autovacuum_enabled = false)".to_owned(),
        "ALTER TABLE ops.workers SET (autovacuum_enabled = false)".to_owned(),
        "ALTER TABLE ops.run_events SET (autovacuum_enabled = false)".to_owned(),
        "ALTER TABLE ops.artifacts SET (autovacuum_enabled = false)".to_owned(),
        "SET session_replication_role = replica".to_owned(),
        format!(
            "INSERT INTO ops.sessions (id, tenant_id, name)
             SELECT {record}, 'default', 's' FROM generate_series(1, {RECORDS}) n"
        ),
        format!(
            "INSERT INTO ops.runs (id, tenant_id, session_id, lane, kind)
             SELECT {run}, 'default', (CASE WHEN n % ({RUNS} / {OWN_RUNS}) = 0 THEN '{SESSION}'
                                            ELSE '01980000-0000-7000-8000-00000000001' || n % 3 END)::uuid, 'A', 'any'
             FROM generate_series(1, {RUNS}) n"
        ),
        format!(
            "INSERT INTO ops.runs (id, tenant_id, session_id, lane, kind)
             VALUES ('{RUN}', 'default', '{SESSION}', 'A', 'any')"
        ),
        format!(
            "INSERT INTO ops.run_events (tenant_id, run_id, fence, seq, level, message)
             SELECT 'default', '{RUN}', 1, n, 'info', 'a line' FROM generate_series(1, {EVENTS}) n"
        ),
        format!(
            "INSERT INTO ops.artifacts (id, tenant_id, run_id, kind, name, content_text)
             SELECT {record}, 'default', '{RUN}', 'text', 'a', 'a text' FROM generate_series(1, {RECORDS}) n"
        ),
        format!(
            "INSERT INTO ops.workers (id, tenant_id, name, mode, state, lanes, lease_ms)
             SELECT {record}, 'default', 'w' || n, 'unary', 'lost', '{{A}}', 30000 FROM generate_series(1, {RECORDS}) n"
        ),
        "SET session_replication_role = origin".to_owned(),
    ];
    for statement in statements {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut *sql).await.expect("it is written");
    }
}

/// The rows and index entries that were read so far. A process of the database counts what it has read when it ends.
async fn read_so_far(sql: &mut PgConnection) -> i64 {
    let count = "SELECT (coalesce((SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE schemaname = 'ops'), 0)
                         + coalesce((SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE schemaname = 'ops'), 0))::bigint";
    sqlx::query_scalar(count).fetch_one(sql).await.expect("they are counted")
}

/// Stops a server, and waits until the database knows all that it has read.
async fn stop(fixture: &mut Fixture, sql: &mut PgConnection) {
    fixture.servers.pop().expect("it runs").stop().await;
    eventually("the server's connections are closed", async || {
        let count = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND application_name = 'ops'";
        let open: i64 =
            sqlx::query_scalar(count).bind(&fixture.database.name).fetch_one(&mut *sql).await.expect("counted");
        (open == 0).then_some(())
    })
    .await;
}

type Read = for<'s> fn(&'s Server) -> BoxFuture<'s, i64>;

/// Reads some pages of a list. Returns the number of their entries.
macro_rules! pages {
    ($server:ident, $service:ident, $method:ident, $items:ident, $request:expr) => {
        async move {
            let (mut request, mut entries) = ($request, 0);
            for _ in 0..PAGES {
                request.page_size = PAGE;
                let page = $server.client.$service().$method(request.clone()).await;
                let page = page.expect("it is answered").into_inner();
                entries += page.$items.len() as i64;
                request.page_token = page.next_page_token;
            }
            entries
        }
        .boxed()
    };
}

/// Every read whose cost could depend on a plan, with how many index entries it may read for each entry of its answer, and beside them.
const READS: [(&str, i64, i64, Read); 9] = [
    ("ListRuns", 2, 0, |server| pages!(server, runs, list_runs, runs, ListRunsRequest::default())),
    ("ListRuns of a session", 2, 0, |server| {
        let filter = Some(RunFilter { session_id: SESSION.into(), ..Default::default() });
        pages!(server, runs, list_runs, runs, ListRunsRequest { filter, ..Default::default() })
    }),
    ("ListRunEvents", 2, 0, |server| {
        pages!(server, runs, list_run_events, events, ListRunEventsRequest { run_id: RUN.into(), ..Default::default() })
    }),
    ("ListSessions", 3, 0, |server| pages!(server, sessions, list_sessions, sessions, ListSessionsRequest::default())),
    ("ListWorkers", 3, 0, |server| pages!(server, workers, list_workers, workers, ListWorkersRequest::default())),
    ("ListArtifacts of a run", 2, 0, |server| {
        let parent = Some(list_artifacts_request::Parent::RunId(RUN.into()));
        pages!(server, artifacts, list_artifacts, artifacts, ListArtifactsRequest { parent, ..Default::default() })
    }),
    // Each chunk of 50 looks at each run of the session.
    ("ListArtifacts of a session", 4, PAGES * PAGE as i64 / 50 * (OWN_RUNS + 1) * 11 / 10, |server| {
        let parent = Some(list_artifacts_request::Parent::SessionId(SESSION.into()));
        pages!(server, artifacts, list_artifacts, artifacts, ListArtifactsRequest { parent, ..Default::default() })
    }),
    ("WatchRuns", 2, 0, |server| {
        async {
            let filter = Some(RunFilter { session_id: SESSION.into(), ..Default::default() });
            let request = WatchRunsRequest { filter, include_snapshot: true, ..Default::default() };
            let mut watch = server.runs().watch_runs(request).await.expect("it is answered").into_inner();
            let mut runs = 0;
            loop {
                let message = in_time("the snapshot", watch.message()).await.expect("the watch goes on");
                match message.and_then(|message| message.event).expect("it says something") {
                    watch_runs_response::Event::Snapshot(snapshot) => runs += snapshot.runs.len() as i64,
                    watch_runs_response::Event::SnapshotComplete(_) => return runs,
                    _ => {}
                }
            }
        }
        .boxed()
    }),
    // The server reads some pages ahead.
    ("TailRunEvents", 2, 5_000, |server| {
        async {
            let request = TailRunEventsRequest { run_id: RUN.into(), ..Default::default() };
            let mut tail = server.runs().tail_run_events(request).await.expect("it is answered").into_inner();
            let mut events = 0;
            while events < 5_000 {
                let message = in_time("events", tail.message()).await.expect("the tail goes on");
                events += message.expect("there are more").events.len() as i64;
            }
            events
        }
        .boxed()
    }),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_read_of_a_database_without_statistics_reads_no_more_than_it_answers() {
    let mut fixture = Fixture::with(0, |_| {}).await;
    let mut sql = fixture.sql().await;
    fill(&mut sql).await;
    for (name, each, beside, read) in READS {
        fixture.add_server(&|_| {}).await;
        let before = read_so_far(&mut fixture.sql().await).await;
        let entries = in_time(name, read(&fixture.servers[0])).await;
        assert!(entries >= 1_500, "{name}: {entries}");
        stop(&mut fixture, &mut sql).await;
        let read = read_so_far(&mut fixture.sql().await).await - before;
        assert!(read >= entries, "{name} is counted: {read} for {entries}");
        // The loops of a server read a little as well.
        assert!(read <= entries * each + beside + 1_000, "{name} has read {read} to answer {entries}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_was_made_while_the_tables_were_empty_serves_full_ones() {
    let mut fixture = Fixture::with(0, |_| {}).await;
    let mut sql = fixture.sql().await;
    fixture.add_server(&|_| {}).await;
    // One call at a time uses the same connection again, which keeps its plans.
    let empty = ListRunsRequest { page_size: PAGE, ..Default::default() };
    for _ in 0..3 {
        let runs = fixture.runs().list_runs(empty.clone()).await.expect("it is answered").into_inner().runs;
        assert!(runs.is_empty());
        let request = ListWorkersRequest { page_size: PAGE, ..Default::default() };
        fixture.workers().list_workers(request).await.expect("it is answered");
        fixture.sessions().list_sessions(ListSessionsRequest::default()).await.expect("it is answered");
    }
    fill(&mut sql).await;
    let before = read_so_far(&mut fixture.sql().await).await;
    let mut entries = 0;
    for (name, _, _, read) in
        READS.into_iter().filter(|(name, ..)| ["ListRuns", "ListWorkers", "ListSessions"].contains(name))
    {
        entries += in_time(name, read(&fixture.servers[0])).await;
    }
    assert_eq!(entries, 3 * PAGES * i64::from(PAGE));
    stop(&mut fixture, &mut sql).await;
    let read = read_so_far(&mut fixture.sql().await).await - before;
    assert!((entries..entries * 4 + 1_000).contains(&read), "{read} to answer {entries}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_claim_reads_only_its_own_runs() {
    let mut fixture = Fixture::with(0, |_| {}).await;
    let mut sql = fixture.sql().await;
    fill(&mut sql).await;
    fixture.add_server(&|_| {}).await;
    let session = fixture.session().await;
    fixture.enqueue(&session, "any").await;
    let before = read_so_far(&mut fixture.sql().await).await;
    let mut worker = Unary::new(&fixture.servers[0], "one");
    for _ in 0..3 {
        let claim = ClaimRequest { request_id: "once".into(), ..Default::default() };
        assert_eq!(worker.claim(claim).await.expect("it is answered").len(), 1);
    }
    drop(worker);
    stop(&mut fixture, &mut sql).await;
    let read = read_so_far(&mut fixture.sql().await).await - before;
    assert!(read <= 1_000, "{read}");
}

/// Makes each run that a server reads take so long.
async fn slow_runs(sql: &mut PgConnection, seconds: f64) {
    let policy = format!(
        "DROP POLICY IF EXISTS slow ON ops.runs;
         CREATE POLICY slow ON ops.runs AS RESTRICTIVE TO ops_engine USING (pg_sleep({seconds}) IS NOT NULL)"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(policy)).execute(sql).await.expect("it is made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_read_slowly_ends_its_page_early_and_is_no_outage() {
    let mut fixture = Fixture::new().await;
    let session = fixture.session().await;
    fixture.enqueue_many(&session, "any", 400).await;
    let mut sql = fixture.sql().await;
    // The whole list takes longer than a unit of database work may, and a chunk of it much less.
    slow_runs(&mut sql, 0.03).await;
    let filter = Some(RunFilter { session_id: session, ..Default::default() });
    let mut request = ListRunsRequest { filter, page_size: 1_000, ..Default::default() };
    let mut pages = Vec::new();
    loop {
        let page = in_time("a page", fixture.servers[0].runs().list_runs(request.clone())).await;
        let page = page.expect("the database answers").into_inner();
        pages.push(page.runs.len());
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert!(pages.len() > 1 && pages.iter().sum::<usize>() == 400, "{pages:?}");

    // A chunk takes longer than a statement may.
    slow_runs(&mut sql, 1.0).await;
    fixture.add_server(&|config| config.database.deadline = std::time::Duration::from_secs(2)).await;
    request.page_token.clear();
    let refused = in_time("a refusal", fixture.servers[1].runs().list_runs(request)).await;
    assert_eq!(reason(&refused.expect_err("it takes too long")), "DATABASE_BUSY");
}
