//! How fast queued runs are executed.

use std::time::Instant;

use anyhow::Result;

use crate::audit;
use crate::caller::Caller;
use crate::deployment::{Bench, Deployment};
use crate::figure::{Figure, rate};
use crate::fleet::{Execution, Fleet};

pub const ABOUT: &str = "100,000 queued runs through 4 workers of 500 slots: claimed, assigned, accepted, started, reported with a \
                         result, acknowledged. Processor time is that of the server alone.";

const RUNS: usize = 100_000;
pub const WORKERS: usize = 4;
pub const SLOTS: i64 = 500;

pub async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let deployment = bench.deploy(1).await?;
    let processor = deployment.servers[0].processor()?;
    let (rate, _) = drained(&deployment, RUNS).await?;
    let processor = (deployment.servers[0].processor()? - processor) * 1e6 / RUNS as f64;
    deployment.close().await?;
    Ok(vec![
        Figure::new("4 workers of 500 slots", "runs/s", rate).at_least(25_000.0),
        Figure::new("processor of the server, enqueue included", "us/run", processor),
    ])
}

/// Enqueues runs without workers, then starts workers: how many runs end a second, and the workers.
pub async fn drained(deployment: &Deployment<'_>, runs: usize) -> Result<(f64, Fleet)> {
    let caller = Caller::new(&deployment.servers[0]).await?;
    caller.enqueue(runs, 1_000, 4).await?;
    deployment.database.checkpoint().await?;
    let begin = Instant::now();
    let mut fleet = Fleet::start(&deployment.servers, WORKERS, SLOTS, Execution::EndAtOnce).await?;
    fleet.ended(runs as u64).await?;
    let rate = rate(runs, begin);
    audit::all_succeeded(deployment, &fleet, runs as u64).await?;
    Ok((rate, fleet))
}
