//! Plans for large tables that the planner makes while the tables are empty, because such plans are kept.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::support::Fixture;

const CLAIM: &str = include_str!("../../engine/src/store/run/claim.sql");
const REPORT: &str = include_str!("../../engine/src/store/run/report.sql");
const POLL: &str = include_str!("../../engine/src/store/poll.sql");
const CANCEL: &str = include_str!("../../engine/src/store/run/cancel.sql");
const EXPIRE: &str = include_str!("../../engine/src/store/run/expire.sql");
const RELEASE: &str = include_str!("../../engine/src/store/run/release.sql");
const DUE: &str = include_str!("../../engine/src/store/run/due.sql");
const CANCEL_UNCONFIRMED: &str = include_str!("../../engine/src/store/run/cancel_unconfirmed.sql");

/// The plan of a statement with so many parameters, under the settings of the engine.
async fn plan(sql: &mut PgConnection, statement: &str, parameters: usize) -> String {
    explain(sql, "COSTS OFF", statement, parameters).await
}

async fn explain(sql: &mut PgConnection, options: &str, statement: &str, parameters: usize) -> String {
    let engine = "SET ROLE ops_engine; SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; \
                  SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off";
    sqlx::raw_sql(engine).execute(&mut *sql).await.expect("it is set");
    let prepare = format!("PREPARE planned AS {}", statement.trim_end().trim_end_matches(';'));
    sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut *sql).await.expect("it is prepared");
    let arguments = if parameters == 0 { String::new() } else { format!("({})", vec!["NULL"; parameters].join(", ")) };
    let explain = format!("EXPLAIN ({options}) EXECUTE planned {arguments}");
    let lines: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(explain)).fetch_all(&mut *sql).await.expect("it is explained");
    lines.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_reads_the_queue_in_its_order_and_finds_runs_by_their_ids() {
    let fixture = Fixture::with(0, |_| {}).await;
    let plan = plan(&mut fixture.sql().await, CLAIM, 11).await;
    let lines: Vec<&str> = plan.lines().map(str::trim).collect();
    let reads: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].contains("run_queue_order")).collect();
    assert!(reads.len() >= 2, "a hop and the best: {plan}");
    for at in reads {
        assert!(lines[at].contains("Scan using run_queue_order"), "{plan}");
        assert!(lines[at - 1].ends_with("Limit"), "it ends when it has enough rows: {plan}");
        assert!(lines[at + 1].contains("tenant_id") && lines[at + 1].contains("lane"), "{plan}");
    }
    for found in ["Index Cond: (id = b.run_id)", "Index Cond: (id = p.id)"] {
        assert_eq!(plan.matches(found).count(), 1, "the runs that are locked and updated: {plan}");
    }
    assert_eq!(plan.matches("Tid Scan on run_queue").count(), 1, "the rows that leave the queue: {plan}");
    assert!(!plan.contains("Seq Scan"), "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_finds_its_runs_by_their_ids() {
    let fixture = Fixture::with(0, |_| {}).await;
    let plan = plan(&mut fixture.sql().await, CANCEL, 4).await;
    assert_eq!(plan.matches("runs_pkey").count(), 2, "{plan}");
    assert!(!plan.contains("runs_tenant"), "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_finds_its_runs_by_their_ids_in_the_order_of_ids() {
    let fixture = Fixture::with(0, |_| {}).await;
    let plan = plan(&mut fixture.sql().await, REPORT, 10).await;
    assert_eq!(plan.matches("runs_pkey").count(), 1, "each is found once: {plan}");
    let lines: Vec<&str> = plan.lines().map(|line| line.trim().trim_start_matches("->").trim()).collect();
    let update = lines.iter().position(|line| *line == "Update on runs r").expect("it is updated");
    assert_eq!(lines[update + 1..update + 3], ["Nested Loop", "CTE Scan on input i_1"], "input by input: {plan}");
    let input = lines.iter().position(|line| *line == "CTE input").expect("there is an input");
    assert_eq!(lines[input + 1..input + 3], ["Sort", "Sort Key: i.run_id"], "in the order of ids: {plan}");
}

/// While there are few runs, a statement that reads all of them is as fast as any other.
#[tokio::test(flavor = "multi_thread")]
async fn no_statement_reads_all_runs_to_find_some_by_their_ids() {
    let fixture = Fixture::with(0, |_| {}).await;
    let statements = [
        ("run_start", include_str!("../../engine/src/store/run/start.sql"), 5),
        ("run_cancel", CANCEL, 4),
        ("run_cancel_unconfirmed", CANCEL_UNCONFIRMED, 0),
        ("run_claim", CLAIM, 11),
        ("run_claim_undo", include_str!("../../engine/src/store/run/claim_undo.sql"), 2),
        ("run_events_append", include_str!("../../engine/src/store/event/append.sql"), 12),
        ("run_expire", EXPIRE, 1),
        ("run_heartbeat", include_str!("../../engine/src/store/run/heartbeat.sql"), 6),
        ("run_release", RELEASE, 6),
        ("run_report", REPORT, 10),
        ("backlog", include_str!("../../engine/src/store/run/backlog.sql"), 1),
    ];
    for (name, statement, parameters) in statements {
        let plan = plan(&mut fixture.sql().await, statement, parameters).await;
        let lines: Vec<&str> = plan.lines().map(str::trim).collect();
        for at in (0..lines.len()).filter(|at| lines[*at].contains("runs_pkey")) {
            assert!(lines[at + 1].starts_with("Index Cond: (id = "), "{name}: {plan}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_poll_reads_only_what_is_due() {
    let fixture = Fixture::with(0, |_| {}).await;
    let plan = plan(&mut fixture.sql().await, POLL, 2).await;
    for index in [
        "run_queue_order",
        "runs_waiting",
        "run_leases_due",
        "workers_alive",
        "sessions_cancelling",
        "sessions_closing",
    ] {
        assert_eq!(plan.matches(index).count(), 1, "{index}: {plan}");
    }
    assert!(plan.contains("Index Cond: (id = stream.worker_id)"), "the streams of the server: {plan}");
    for due in ["Index Cond: (run_after <= now())", "Index Cond: (due_at < now())"] {
        assert_eq!(plan.matches(due).count(), 1, "it ends with the first that is not due: {plan}");
    }
    for index in
        ["runs_pkey", "runs_tenant", "runs_session", "Seq Scan on runs", "Seq Scan on sessions", "sessions_pkey"]
    {
        assert!(!plan.contains(index), "{index}: {plan}");
    }
}

/// A function that is not inlined is called for each row, and no index serves a condition inside of it.
#[tokio::test(flavor = "multi_thread")]
async fn statements_inline_the_rules_that_they_share() {
    let fixture = Fixture::with(0, |_| {}).await;
    let statements = [
        ("report", REPORT, 10),
        ("release", RELEASE, 6),
        ("expire", EXPIRE, 1),
        ("due", DUE, 0),
        ("poll", POLL, 2),
        ("unconfirmed", CANCEL_UNCONFIRMED, 0),
    ];
    for (name, statement, parameters) in statements {
        assert!(statement.contains("ops.run_") || statement.contains("ops.lease_"), "{name} shares a rule");
        let plan = explain(&mut fixture.sql().await, "COSTS OFF, VERBOSE", statement, parameters).await;
        for function in ["run_next(", "run_is_due(", "lease_ends_at(", "cancel_ends_at(", "lease_service_is_current("] {
            assert!(!plan.contains(function), "{name} calls {function}: {plan}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn analyze_skips_arrays_of_unique_ids() {
    let fixture = Fixture::with(0, |_| {}).await;
    let columns: Vec<(String, i32)> = sqlx::query_as(
        "SELECT format('%s.%s', c.relname, attname), coalesce(attstattarget, -1)::int
         FROM pg_attribute
         JOIN pg_class c ON c.oid = attrelid AND c.relkind = 'r' AND c.relnamespace = 'ops'::regnamespace
         WHERE atttypid = 'uuid[]'::regtype",
    )
    .fetch_all(&mut fixture.sql().await)
    .await
    .expect("the columns are read");
    assert!(columns.iter().any(|(name, _)| name == "run_changes.run_ids"), "{columns:?}");
    assert!(columns.iter().all(|(_, target)| *target == 0), "{columns:?}");
}

/// A statement of the store, and the number of its parameters.
fn prepared() -> Vec<(String, usize)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(".sqlx");
    let files = std::fs::read_dir(folder).expect("the statements are prepared");
    let statement = |file: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(file.expect("it is there").path()).expect("it can be read");
        let prepared: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        let parameters = prepared["describe"]["parameters"]["Left"].as_array().expect("a list").len();
        (prepared["query"].as_str().expect("a text").to_owned(), parameters)
    };
    files.map(statement).collect()
}

/// Runs, workers, events and artifacts that nothing has analysed.
async fn without_statistics(sql: &mut PgConnection) {
    let fill = "SET session_replication_role = replica;
        INSERT INTO ops.runs (tenant_id, session_id, lane, kind)
            SELECT 'default', gen_random_uuid(), 'A', 'any' FROM generate_series(1, 50000);
        INSERT INTO ops.workers (tenant_id, name, mode, lanes, lease_ms)
            SELECT 'default', 'w' || n, 'unary', '{A}', 1000 FROM generate_series(1, 50000) n;
        INSERT INTO ops.sessions (tenant_id, name) SELECT 'default', 's' FROM generate_series(1, 50000);
        INSERT INTO ops.run_events (tenant_id, run_id, fence, seq, level, message)
            SELECT 'default', gen_random_uuid(), 1, 1, 'info', '' FROM generate_series(1, 50000);
        INSERT INTO ops.artifacts (tenant_id, run_id, kind, name, content_text)
            SELECT 'default', gen_random_uuid(), 'k', 'n', '' FROM generate_series(1, 50000);
        SET session_replication_role = origin";
    for table in ["runs", "workers", "sessions", "run_events", "artifacts"] {
        let off = AssertSqlSafe(format!("ALTER TABLE ops.{table} SET (autovacuum_enabled = false)"));
        sqlx::raw_sql(off).execute(&mut *sql).await.expect("it is set");
    }
    sqlx::raw_sql(fill).execute(&mut *sql).await.expect("it is filled");
}

/// `Db::list` sets these.
const LIST: &str = "SET enable_sort = off; SET enable_bitmapscan = off";

#[tokio::test(flavor = "multi_thread")]
async fn lists_read_an_index_in_their_order_whatever_the_planner_knows() {
    let fixture = Fixture::with(0, |_| {}).await;
    let lists: Vec<_> = prepared()
        .into_iter()
        .filter(|(text, _)| {
            text.trim_start().starts_with("SELECT") && text.contains("ORDER BY") && text.contains("LIMIT $")
        })
        .collect();
    // Runs, artifacts and tails have two each; the last one is the page of a session that is cancelled.
    assert_eq!(lists.len(), 10, "{lists:?}");
    for known in ["nothing", "the size", "statistics"] {
        match known {
            "the size" => without_statistics(&mut fixture.sql().await).await,
            "statistics" => drop(sqlx::raw_sql("ANALYZE").execute(&mut fixture.sql().await).await.expect("it is done")),
            _ => {}
        }
        for (statement, parameters) in &lists {
            let mut sql = fixture.sql().await;
            sqlx::raw_sql(LIST).execute(&mut sql).await.expect("it is set");
            let plan = plan(&mut sql, statement, *parameters).await;
            let context = || format!("with {known}: {statement}\n{plan}");
            // The artifacts of a session are found run by run, and what a tail has passed over gap by gap.
            let by_parts = (statement.contains("ops.artifacts") && statement.contains("ops.runs"))
                || statement.contains("AS g (fence, first, last)");
            let sorts = usize::from(by_parts);
            assert_eq!(plan.matches("Sort").count(), sorts * 2, "{}", context());
            assert!(!plan.contains("Bitmap") && !plan.contains("Seq Scan"), "{}", context());
            for index in ["runs_tenant", "runs_session", "sessions_tenant", "workers_tenant", "artifacts_run"] {
                for (at, _) in plan.match_indices(&format!("using {index} ")) {
                    let bounds = plan[at..].lines().nth(1).unwrap_or_default();
                    let is_bounded = bounds.contains("ROW(") || bounds.contains("(session_id = ");
                    assert!(is_bounded, "{index}: {}", context());
                }
            }
        }
    }
}

/// Without statistics the tenant seems to choose a few rows. It chooses all.
#[tokio::test(flavor = "multi_thread")]
async fn no_statement_reads_all_rows_of_a_tenant() {
    let fixture = Fixture::with(0, |_| {}).await;
    for fills in [false, true] {
        if fills {
            without_statistics(&mut fixture.sql().await).await;
        }
        for (statement, parameters) in prepared().into_iter().filter(|(text, _)| text.contains("ops.")) {
            let lists = statement.trim_start().starts_with("SELECT") && statement.contains("LIMIT $");
            let mut sql = fixture.sql().await;
            if lists {
                sqlx::raw_sql(LIST).execute(&mut sql).await.expect("it is set");
            }
            let plan = plan(&mut sql, &statement, parameters).await;
            let lines: Vec<&str> = plan.lines().map(str::trim).collect();
            for at in (0..lines.len()).filter(|at| lines[*at].contains("_tenant ") || lines[*at].ends_with("_tenant")) {
                let bounds = lines.get(at + 1).copied().unwrap_or_default();
                assert!(bounds.contains("(id = ") || bounds.contains("ROW("), "{statement}\n{plan}");
            }
        }
    }
}
