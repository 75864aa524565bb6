//! How fast runs are enqueued.

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::caller::Caller;
use crate::deployment::Bench;
use crate::figure::{Figure, rate};

pub const ABOUT: &str = "Runs a second that are committed and answered, in batches of 1,000 (4 calls at once) and one a call (64 at once), \
                         without workers.";

const BATCHED: usize = 200_000;
const SINGLE: usize = 50_000;

pub async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let deployment = bench.deploy(1).await?;
    let caller = Caller::new(&deployment.servers[0]).await?;
    caller.enqueue(2_000, 100, 4).await?;
    deployment.database.checkpoint().await?;

    let begin = Instant::now();
    caller.enqueue(BATCHED, 1_000, 4).await?;
    let batched = rate(BATCHED, begin);
    let begin = Instant::now();
    caller.enqueue(SINGLE, 1, 64).await?;
    let single = rate(SINGLE, begin);

    let count = sqlx::query_scalar("SELECT count(*) FROM ops.runs WHERE status = 'queued'");
    let there: i64 = count.fetch_one(&mut deployment.database.connect().await?).await?;
    let expected = BATCHED + SINGLE + 2_000;
    ensure!(there == expected as i64, "{there} of {expected} acknowledged runs exist");
    deployment.close().await?;
    Ok(vec![
        Figure::new("batches of 1,000", "runs/s", batched).at_least(50_000.0),
        Figure::new("single, 64 callers", "runs/s", single).at_least(15_000.0),
    ])
}
