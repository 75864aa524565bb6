//! Checks that the measured work was also correct.

use anyhow::{Result, ensure};
use sqlx::Row;

use crate::deployment::Deployment;
use crate::fleet::Fleet;

/// Fails unless this number of runs exist and all have succeeded, each in one grant and one attempt, no grant was started twice, and
/// the counters of the sessions agree.
pub async fn all_succeeded(deployment: &Deployment<'_>, fleet: &Fleet, runs: u64) -> Result<()> {
    let started = fleet.distinct_starts()?;
    ensure!(started == runs, "{started} grants were started for {runs} runs");
    let mut c = deployment.database.connect().await?;
    let counts = sqlx::query(
        "SELECT count(*) AS runs,
                count(*) FILTER (WHERE status = 'succeeded' AND fence = 1 AND attempt = 1 AND outcome_source = 'worker'
                                 AND result = '{\"done\": true}' AND finished_at IS NOT NULL) AS good
         FROM ops.runs",
    )
    .fetch_one(&mut c)
    .await?;
    let (all, good): (i64, i64) = (counts.try_get("runs")?, counts.try_get("good")?);
    ensure!(all as u64 == runs && good as u64 == runs, "of {runs} runs, {all} exist and {good} are correct");
    // One statement, so that counters and deltas come from one snapshot.
    let counters = sqlx::query(
        "SELECT ((SELECT sum(total_runs) FROM ops.sessions)
                    + (SELECT coalesce(sum(total), 0) FROM ops.session_deltas))::bigint AS total,
                ((SELECT sum(succeeded_runs) FROM ops.sessions)
                    + (SELECT coalesce(sum(succeeded), 0) FROM ops.session_deltas))::bigint AS succeeded",
    );
    let counters = counters.fetch_one(&mut c).await?;
    let (total, succeeded): (i64, i64) = (counters.try_get("total")?, counters.try_get("succeeded")?);
    ensure!(total as u64 == runs && succeeded == total, "the counters say {total} and {succeeded} of {runs} runs");
    Ok(())
}
