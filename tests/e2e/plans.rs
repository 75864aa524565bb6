//! How the planner reads large tables, when all that it knew of them was that they were empty: such a plan is kept.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::support::House;

const CLAIM: &str = include_str!("../../server/src/store/sql/run_claim.sql");
const CANCEL: &str = include_str!("../../server/src/store/sql/run_cancel.sql");

/// The plan of a statement with so many parameters, as the engine would have it made.
async fn plan(sql: &mut PgConnection, statement: &str, parameters: usize) -> String {
    let engine = "SET ROLE ops_engine; SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; \
                  SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off";
    sqlx::raw_sql(engine).execute(&mut *sql).await.expect("it is set");
    let prepare = format!("PREPARE planned AS {}", statement.trim_end().trim_end_matches(';'));
    sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut *sql).await.expect("it is prepared");
    let arguments = vec!["NULL"; parameters].join(", ");
    let explain = format!("EXPLAIN (COSTS OFF) EXECUTE planned ({arguments})");
    let lines: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(explain)).fetch_all(&mut *sql).await.expect("it is explained");
    lines.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_reads_the_ready_index_in_its_order_and_finds_runs_by_their_ids() {
    let house = House::with(0, |_| {}).await;
    let plan = plan(&mut house.sql().await, CLAIM, 10).await;
    let lines: Vec<&str> = plan.lines().map(str::trim).collect();
    let reads: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].contains("runs_ready")).collect();
    assert!(reads.len() >= 2, "a hop and the best: {plan}");
    for at in reads {
        assert!(lines[at].contains("Index Only Scan using runs_ready"), "{plan}");
        assert!(lines[at - 1].ends_with("Limit"), "it ends with the first that are wanted: {plan}");
        assert!(lines[at + 1].contains("tenant_id") && lines[at + 1].contains("lane"), "{plan}");
    }
    assert_eq!(plan.matches("runs_pkey").count(), 2, "those that are locked and changed: {plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_finds_its_runs_by_their_ids() {
    let house = House::with(0, |_| {}).await;
    let plan = plan(&mut house.sql().await, CANCEL, 4).await;
    assert_eq!(plan.matches("runs_pkey").count(), 2, "{plan}");
    assert!(!plan.contains("runs_tenant"), "{plan}");
}
