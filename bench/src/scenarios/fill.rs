//! Writes millions of runs directly into the database, to measure beside them.

use anyhow::Result;

use crate::caller::Caller;
use crate::deployment::Deployment;

/// Queued runs.
pub struct Filled {
    pub kind: &'static str,
    pub runs: i64,
    pub priority: i32,
}

/// Adds runs to the caller's session and its counters, as `ops.enqueue_run()` does.
pub async fn fill(deployment: &Deployment<'_>, caller: &Caller, filled: &Filled) -> Result<()> {
    put(
        deployment,
        caller,
        filled,
        "INSERT INTO ops.session_deltas (tenant_id, session_id, total) VALUES ('default', $1::uuid, $2)",
        "
        WITH runs AS (
            INSERT INTO ops.runs (id, tenant_id, session_id, lane, kind, priority)
            SELECT gen_random_uuid(), 'default', $1::uuid, 'A', $3, $4 FROM generate_series(1, $2)
            RETURNING *)
        INSERT INTO ops.run_queue (tenant_id, lane, kind, priority, run_after, run_id, fence)
        SELECT tenant_id, lane, kind, priority, run_after, id, fence FROM runs",
    )
    .await
}

/// Adds runs that have succeeded, a hundred a millisecond until now, with ids in the order of time as the server makes them.
pub async fn fill_finished(deployment: &Deployment<'_>, caller: &Caller, runs: i64) -> Result<()> {
    let filled = Filled { kind: "finished", runs, priority: 0 };
    put(deployment, caller, &filled, "INSERT INTO ops.session_deltas (tenant_id, session_id, total, succeeded) VALUES ('default', $1::uuid, $2, $2)", "
        INSERT INTO ops.runs (id, tenant_id, session_id, lane, kind, priority, status, attempt, fence, worker_id, claimed_by,
                              lease_ms, claimed_at, started_at, heartbeat_at, finished_at, result, outcome_source, outcome_hash,
                              revision)
        SELECT (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - ($2 - n) / 100), 12, '0')
                || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid,
               'default', $1::uuid, 'A', $3, $4, 'succeeded', 1, 1, gen_random_uuid(), 'bench', 30000,
               now(), now(), now(), now(), '{\"done\": true}', 'worker', sha256('x'), 4
        FROM generate_series(1, $2) AS n")
    .await
}

async fn put(
    deployment: &Deployment<'_>,
    caller: &Caller,
    filled: &Filled,
    count: &'static str,
    insert: &'static str,
) -> Result<()> {
    let mut c = deployment.database.connect().await?;
    sqlx::query(count).bind(&caller.session).bind(filled.runs).execute(&mut c).await?;
    let bound = sqlx::query(insert).bind(&caller.session).bind(filled.runs).bind(filled.kind).bind(filled.priority);
    bound.execute(&mut c).await?;
    sqlx::raw_sql("VACUUM ANALYZE ops.runs, ops.run_queue").execute(&mut c).await?;
    Ok(())
}
