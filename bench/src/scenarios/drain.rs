//! How fast queued runs are executed.

use std::time::Instant;

use anyhow::Result;

use super::rate;
use crate::audit;
use crate::caller::Caller;
use crate::figure::Figure;
use crate::fleet::{Doing, Fleet};
use crate::house::{Bench, House};

pub const ABOUT: &str = "100,000 queued runs through 4 workers of 500 slots: claimed, assigned, accepted, started, reported with a \
                         result, acknowledged. Processor time is that of the server alone.";

const RUNS: usize = 100_000;
pub const WORKERS: usize = 4;
pub const SLOTS: i64 = 500;

pub async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let house = bench.house(1).await?;
    let processor = house.servers[0].processor()?;
    let (rate, _) = drained(&house, RUNS).await?;
    let processor = (house.servers[0].processor()? - processor) * 1e6 / RUNS as f64;
    house.close().await?;
    Ok(vec![
        Figure::new("4 workers of 500 slots", "runs/s", rate).at_least(25_000.0),
        Figure::new("processor of the server, enqueue included", "us/run", processor),
    ])
}

/// Enqueues runs while nobody works, then has them executed: how many a second, and by whom.
pub async fn drained(house: &House<'_>, runs: usize) -> Result<(f64, Fleet)> {
    let caller = Caller::new(&house.servers[0]).await?;
    caller.enqueue(runs, 1_000, 4).await?;
    house.database.checkpoint().await?;
    let begin = Instant::now();
    let mut fleet = Fleet::start(&house.servers, WORKERS, SLOTS, Doing::End).await?;
    fleet.ended(runs as u64).await?;
    let rate = rate(runs, begin);
    audit::all_succeeded(house, &fleet, runs as u64).await?;
    Ok((rate, fleet))
}
