//! Whether what was measured was also right.

use anyhow::{Result, ensure};
use sqlx::Row;

use crate::fleet::Fleet;
use crate::house::House;

/// All of so many runs have succeeded, in one grant and one attempt each, no grant was started twice, and the counters of the
/// sessions say the same.
pub async fn all_succeeded(house: &House<'_>, fleet: &Fleet, runs: u64) -> Result<()> {
    let started = fleet.distinct_starts()?;
    ensure!(started == runs, "{started} grants were started for {runs} runs");
    let mut c = house.database.connect().await?;
    let counts = sqlx::query(
        "SELECT count(*) AS runs,
                count(*) FILTER (WHERE status = 'succeeded' AND fence = 1 AND attempt = 1 AND outcome_source = 'worker'
                                 AND result = '{\"done\": true}' AND finished_at IS NOT NULL) AS good
         FROM ops.runs",
    )
    .fetch_one(&mut c)
    .await?;
    let (all, good): (i64, i64) = (counts.try_get("runs")?, counts.try_get("good")?);
    ensure!(all as u64 == runs && good as u64 == runs, "of {runs} runs, {all} are there, and {good} as they should be");
    let counters = sqlx::query(
        "SELECT ((SELECT sum(total_runs) FROM ops.sessions)
                    + (SELECT coalesce(sum(total), 0) FROM ops.session_deltas))::bigint AS total,
                ((SELECT sum(succeeded_runs) FROM ops.sessions)
                    + (SELECT coalesce(sum(succeeded), 0) FROM ops.session_deltas))::bigint AS succeeded",
    );
    // Counters and deltas are read in one snapshot.
    let counters = counters.fetch_one(&mut c).await?;
    let (total, succeeded): (i64, i64) = (counters.try_get("total")?, counters.try_get("succeeded")?);
    ensure!(total as u64 == runs && succeeded == total, "the counters say {total} and {succeeded} of {runs} runs");
    Ok(())
}
