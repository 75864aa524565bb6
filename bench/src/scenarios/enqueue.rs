//! How fast runs are taken in.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::rate;
use crate::caller::Caller;
use crate::figure::Figure;
use crate::house::Bench;

pub const ABOUT: &str = "Runs a second that are committed and answered, by batches of 1,000 (4 calls at once) and one a call \
                         (64 at once); nobody executes them.";

const BATCHED: usize = 200_000;
const SINGLE: usize = 50_000;

pub async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let house = bench.house(1).await?;
    let caller = Caller::new(&house.servers[0]).await?;
    caller.enqueue(2_000, 100, 4).await?;
    house.database.checkpoint().await?;

    let begin = Instant::now();
    caller.enqueue(BATCHED, 1_000, 4).await?;
    let batched = rate(BATCHED, begin);
    let begin = Instant::now();
    caller.enqueue(SINGLE, 1, 64).await?;
    let single = rate(SINGLE, begin);

    let count = sqlx::query_scalar("SELECT count(*) FROM ops.runs WHERE status = 'queued'");
    let there: i64 = count.fetch_one(&mut house.database.connect().await?).await?;
    let expected = BATCHED + SINGLE + 2_000;
    ensure!(there == expected as i64, "{there} of {expected} acknowledged runs are there");
    house.close().await?;
    Ok(vec![
        Figure::new("batches of 1,000", "runs/s", batched).at_least(50_000.0),
        Figure::new("single, 64 callers", "runs/s", single).at_least(15_000.0),
    ])
}
