//! Row-level security: what other roles of the database see and may do.

use proto::v1::*;
use sqlx::{Connection, PgConnection};

use crate::support::{Fixture, Stream, spec, succeeded};

/// A connection of another role, with this setting.
async fn role(fixture: &Fixture, role: &'static str, setting: Option<(&str, &str)>) -> PgConnection {
    let mut sql = fixture.sql().await;
    let set = match role {
        "ops_anon" => "SET ROLE ops_anon",
        "ops_authenticated" => "SET ROLE ops_authenticated",
        "ops_engine" => "SET ROLE ops_engine",
        other => panic!("no such role: {other}"),
    };
    sqlx::query(set).execute(&mut sql).await.expect("the role is there");
    if let Some((name, value)) = setting {
        let set = "SELECT set_config($1, $2, false)";
        sqlx::query(set).bind(name).bind(value).execute(&mut sql).await.expect("it is set");
    }
    sql
}

const TABLES: [(&str, &str); 6] = [
    ("sessions", "SELECT count(*) FROM ops.sessions"),
    ("session_deltas", "SELECT count(*) FROM ops.session_deltas"),
    ("workers", "SELECT count(id) FROM ops.workers"),
    ("runs", "SELECT count(*) FROM ops.runs"),
    ("run_events", "SELECT count(*) FROM ops.run_events"),
    ("artifacts", "SELECT count(*) FROM ops.artifacts"),
];

/// A fixture with a row in each table that other roles may read.
async fn with_a_row_in_each_table() -> (Fixture, String, Stream) {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    fixture.enqueue(&session, "any").await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    let lease = stream.begin().await;
    stream.log(&lease, 1, &["a line".into()]);
    assert_eq!(stream.events_ack().await.reason, "");
    let artifact = CreateArtifactRequest {
        run_id: lease.run_id.clone(),
        kind: "report".into(),
        name: "a.txt".into(),
        content: Some(create_artifact_request::Content::ContentText("text".into())),
        ..Default::default()
    };
    fixture.artifacts().create_artifact(artifact).await.expect("it is kept");
    (fixture, session, stream)
}

async fn rows(sql: &mut PgConnection, table: &str, count: &'static str) -> i64 {
    sqlx::query_scalar(count).fetch_one(sql).await.unwrap_or_else(|error| panic!("{table} is readable: {error}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_row_is_visible_without_a_tenant() {
    let (fixture, ..) = with_a_row_in_each_table().await;
    for name in ["ops_anon", "ops_authenticated"] {
        let empty =
            [None, Some(("ops.tenant_id", "")), Some(("request.jwt.claims", "")), Some(("request.jwt.claims", "{}"))];
        for setting in empty {
            let mut sql = role(&fixture, name, setting).await;
            for (table, count) in TABLES {
                assert_eq!(rows(&mut sql, table, count).await, 0, "{name} {setting:?} {table}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_of_another_tenant_are_not_visible() {
    let (fixture, ..) = with_a_row_in_each_table().await;
    for setting in [("ops.tenant_id", "other"), ("request.jwt.claims", r#"{"tenant_id": "other"}"#)] {
        let mut sql = role(&fixture, "ops_authenticated", Some(setting)).await;
        for (table, count) in TABLES {
            assert_eq!(rows(&mut sql, table, count).await, 0, "{setting:?} {table}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_of_the_own_tenant_are_visible_by_setting_and_by_claim() {
    let (fixture, ..) = with_a_row_in_each_table().await;
    for name in ["ops_anon", "ops_authenticated"] {
        for setting in [("ops.tenant_id", "default"), ("request.jwt.claims", r#"{"tenant_id": "default"}"#)] {
            let mut sql = role(&fixture, name, Some(setting)).await;
            for (table, count) in TABLES {
                // The fold may have removed the delta.
                let there = rows(&mut sql, table, count).await;
                assert!(there == 1 || table == "session_deltas", "{name} {setting:?} {table}: {there}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_the_engine_writes_runs_or_reads_secrets() {
    let (fixture, ..) = with_a_row_in_each_table().await;
    let forbidden = [
        "UPDATE ops.runs SET status = 'succeeded'",
        "DELETE FROM ops.runs",
        "INSERT INTO ops.runs (tenant_id, session_id, lane, kind) SELECT 'default', id, 'A', 'any' FROM ops.sessions",
        "UPDATE ops.sessions SET status = 'completed', closed_at = now()",
        "DELETE FROM ops.sessions",
        "UPDATE ops.lease_service SET checked_at = now() - interval '1 hour'",
        "INSERT INTO ops.session_deltas (tenant_id, session_id, total) SELECT 'default', id, 1 FROM ops.sessions",
        "INSERT INTO ops.run_cancels (run_id, fence, tenant_id, worker_id, kind, grace_ms)
         SELECT id, fence, tenant_id, worker_id, 'cancel', 0 FROM ops.runs",
        "SELECT secret_hash FROM ops.workers",
        "SELECT * FROM ops.workers",
        "SELECT * FROM ops.request_ids",
        "SELECT * FROM ops.run_changes",
        "CREATE TABLE ops.mine (id int)",
        "TRUNCATE ops.runs CASCADE",
        "SET ROLE ops_owner; SELECT 1 FROM ops.nothing_of_that_name",
    ];
    for name in ["ops_anon", "ops_authenticated"] {
        for statement in forbidden {
            let mut sql = role(&fixture, name, Some(("ops.tenant_id", "default"))).await;
            let refused = sqlx::raw_sql(statement).execute(&mut sql).await.expect_err(statement);
            let code = refused.as_database_error().and_then(|error| error.code().map(|code| code.into_owned()));
            let expected: &[&str] = if statement.starts_with("SET ROLE") { &["42501", "42P01"] } else { &["42501"] };
            assert!(expected.contains(&code.as_deref().unwrap_or("")), "{name}: {statement}: {refused}");
        }
    }
    let runs = "SELECT count(*) FROM ops.runs WHERE status = 'running'";
    assert_eq!(rows(&mut fixture.sql().await, "runs", runs).await, 1, "nothing has changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_created_only_for_the_own_tenant() {
    let fixture = Fixture::new().await;
    let mut sql = role(&fixture, "ops_authenticated", Some(("ops.tenant_id", "default"))).await;
    let create = "INSERT INTO ops.sessions (tenant_id, name) VALUES ($1, 'by SQL')";
    sqlx::query(create).bind("default").execute(&mut sql).await.expect("it is created");
    sqlx::query(create).bind("other").execute(&mut sql).await.expect_err("it is another's");
    let completed =
        "INSERT INTO ops.sessions (tenant_id, name, status, closed_at) VALUES ('default', 'x', 'completed', now())";
    sqlx::query(completed).execute(&mut sql).await.expect_err("its state is the engine's");
    let mut anonymous = role(&fixture, "ops_anon", Some(("ops.tenant_id", "default"))).await;
    sqlx::query(create).bind("default").execute(&mut anonymous).await.expect_err("the anonymous read only");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_enqueued_by_sql_exists_from_its_commit_on_and_is_executed() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    let mut sql = role(&fixture, "ops_authenticated", Some(("ops.tenant_id", "default"))).await;
    let enqueue = "SELECT ops.enqueue_run($1::text::uuid, 'A', $2, '{\"n\": 9007199254740993}', priority => 3)::text";

    let mut undone = sql.begin().await.expect("it begins");
    let gone: String =
        sqlx::query_scalar(enqueue).bind(&session).bind("gone").fetch_one(&mut *undone).await.expect("it is enqueued");
    undone.rollback().await.expect("it is undone");
    let mut kept = sql.begin().await.expect("it begins");
    let run: String =
        sqlx::query_scalar(enqueue).bind(&session).bind("kept").fetch_one(&mut *kept).await.expect("it is enqueued");
    assert!(stream.rest().await.is_empty(), "no run is assigned before the commit");
    kept.commit().await.expect("it is committed");

    let (given, lease) = stream.assigned().await;
    assert_eq!((given.id.as_str(), given.kind.as_str(), given.priority), (run.as_str(), "kept", 3));
    assert_eq!(given.params_json.replace(' ', ""), "{\"n\":9007199254740993}");
    stream.accept(std::slice::from_ref(&lease));
    stream.start().await;
    assert_eq!(stream.finish(&lease, succeeded("1")).await, "");
    let nobody = fixture.runs().get_run(GetRunRequest { run_id: gone }).await;
    assert_eq!(nobody.expect_err("it was undone").code(), tonic::Code::NotFound);
    let counted = fixture.session_now(&session).await;
    assert_eq!((counted.total_runs, counted.succeeded_runs), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_enqueues_for_a_tenant_into_its_own_open_session_only() {
    let fixture = Fixture::new().await;
    let (open, closed) = (fixture.session().await, fixture.session().await);
    fixture.close(&closed).await;
    let enqueue = "SELECT ops.enqueue_run($1::text::uuid, 'A', 'any')";
    let cases = [
        ("ops_authenticated", Some(("ops.tenant_id", "default")), &closed, "23503"),
        ("ops_authenticated", Some(("ops.tenant_id", "other")), &open, "23503"),
        ("ops_authenticated", None, &open, "42501"),
        ("ops_anon", Some(("ops.tenant_id", "default")), &open, "42501"),
    ];
    for (name, setting, session, code) in cases {
        let mut sql = role(&fixture, name, setting).await;
        let refused = sqlx::query(enqueue).bind(session).execute(&mut sql).await.expect_err("it is refused");
        let refused = refused.into_database_error().expect("the database refuses");
        assert_eq!(refused.code().as_deref(), Some(code), "{name} {setting:?} {refused}");
    }
    assert_eq!(fixture.session_now(&open).await.total_runs, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn enqueues_by_sql_with_one_request_id_create_one_run() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let mut sql = role(&fixture, "ops_authenticated", Some(("ops.tenant_id", "default"))).await;
    let enqueue = "SELECT ops.enqueue_run($1::text::uuid, 'A', $2, request_id => 'once')::text";
    let mut once = async |kind: &str| -> Result<String, sqlx::Error> {
        sqlx::query_scalar(enqueue).bind(&session).bind(kind).fetch_one(&mut sql).await
    };
    let first = once("any").await.expect("it is enqueued");
    assert_eq!(once("any").await.expect("it is repeated"), first);
    let refused = once("other").await.expect_err("it is another run");
    assert_eq!(refused.as_database_error().and_then(|error| error.code()).as_deref(), Some("23505"));
    assert_eq!(fixture.session_now(&session).await.total_runs, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_another_tenant_is_not_found() {
    let fixture = Fixture::new().await;
    let mut sql = fixture.sql().await;
    let session = "INSERT INTO ops.sessions (tenant_id, name) VALUES ('other', 'theirs') RETURNING id::text";
    let session: String = sqlx::query_scalar(session).fetch_one(&mut sql).await.expect("it is created");
    let run = "INSERT INTO ops.runs (tenant_id, session_id, lane, kind) VALUES ('other', $1::text::uuid, 'A', 'any')
               RETURNING id::text";
    let run: String = sqlx::query_scalar(run).bind(&session).fetch_one(&mut sql).await.expect("it is created");

    let get = fixture.runs().get_run(GetRunRequest { run_id: run.clone() }).await;
    assert_eq!(get.expect_err("it is another's").code(), tonic::Code::NotFound);
    let cancel = fixture.runs().cancel_run(CancelRunRequest { run_id: run.clone(), ..Default::default() }).await;
    assert_eq!(cancel.expect_err("it is another's").code(), tonic::Code::NotFound);
    let wait = fixture.runs().wait_run(WaitRunRequest { run_id: run.clone(), wait_timeout: None }).await;
    assert_eq!(wait.expect_err("it is another's").code(), tonic::Code::NotFound);
    let list = fixture.runs().list_runs(ListRunsRequest::default()).await.expect("they are listed").into_inner();
    assert!(list.runs.is_empty());
    let close = fixture.sessions().close_session(CloseSessionRequest { session_id: session.clone() }).await;
    assert_eq!(close.expect_err("it is another's").code(), tonic::Code::NotFound);
    let cancel = CancelSessionRequest { session_id: session.clone(), ..Default::default() };
    let cancel = fixture.sessions().cancel_session(cancel).await;
    assert_eq!(cancel.expect_err("it is another's").code(), tonic::Code::NotFound);
    fixture.enqueue_spec(spec(&session, "any")).await.expect_err("the session is another's");

    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(2);
    let mine = fixture.enqueue(&fixture.session().await, "any").await;
    assert_eq!(stream.assigned().await.0.id, mine.id);
    assert!(stream.rest().await.is_empty());
    let untouched = "SELECT count(*) FROM ops.runs WHERE tenant_id = 'other' AND status = 'queued' AND fence = 0";
    assert_eq!(rows(&mut sql, "runs", untouched).await, 1);
}
