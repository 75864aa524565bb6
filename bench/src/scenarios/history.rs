//! Whether finished runs are in the way.

use anyhow::Result;

use super::drain::{SLOTS, WORKERS};
use super::fill::fill_finished;
use super::rate;
use crate::caller::Caller;
use crate::figure::Figure;
use crate::fleet::{Doing, Fleet};
use crate::house::Bench;

pub const ABOUT: &str =
    "A drain of 200,000 runs on a database with 10 million finished runs, against a fresh one just before.";

const RUNS: usize = 200_000;
const FINISHED: i64 = 10_000_000;

pub async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let fresh = drain(bench, 0).await?;
    let old = drain(bench, FINISHED).await?;
    Ok(vec![Figure::new("10 million finished, of fresh", "%", 100.0 * old / fresh).at_least(90.0)])
}

async fn drain(bench: &Bench, finished: i64) -> Result<f64> {
    let house = bench.house(1).await?;
    let caller = Caller::new(&house.servers[0]).await?;
    if finished > 0 {
        fill_finished(&house, &caller, finished).await?;
    }
    caller.enqueue(RUNS, 1_000, 4).await?;
    house.database.checkpoint().await?;
    let begin = std::time::Instant::now();
    let mut fleet = Fleet::start(&house.servers, WORKERS, SLOTS, Doing::End).await?;
    fleet.ended(RUNS as u64).await?;
    let rate = rate(RUNS, begin);
    anyhow::ensure!(fleet.distinct_starts()? == RUNS as u64, "not each run was started once");
    drop(fleet);
    house.close().await?;
    Ok(rate)
}
