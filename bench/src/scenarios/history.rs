//! What finished runs cost.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::drain::{SLOTS, WORKERS};
use super::fill::fill_finished;
use crate::caller::Caller;
use crate::deployment::{Bench, Deployment};
use crate::figure::Figure;
use crate::fleet::{Execution, Fleet};

pub const ABOUT: &str = "Drains of 200,000 runs beside 10 million finished runs, each next to a drain on a new database that has executed its \
                         first 50,000 runs, in turns: the time of five pairs together.";

const RUNS: usize = 200_000;
const FINISHED: i64 = 10_000_000;
const PAIRS: usize = 5;
/// The first runs fill the caches of a new server and a new database.
const FIRST: usize = 50_000;

pub async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let old = bench.deploy(1).await?;
    fill_finished(&old, &Caller::new(&old.servers[0]).await?, FINISHED).await?;
    drain(&old, FIRST).await?;
    let (mut beside_finished, mut fresh) = (Duration::ZERO, Duration::ZERO);
    for pair in 0..PAIRS {
        let new = bench.deploy(1).await?;
        drain(&new, FIRST).await?;
        if pair % 2 == 0 {
            fresh += drain(&new, RUNS).await?;
            beside_finished += drain(&old, RUNS).await?;
        } else {
            beside_finished += drain(&old, RUNS).await?;
            fresh += drain(&new, RUNS).await?;
        }
        new.close().await?;
    }
    old.close().await?;
    let of_fresh = 100.0 * fresh.as_secs_f64() / beside_finished.as_secs_f64();
    let rate = (RUNS * PAIRS) as f64 / fresh.as_secs_f64();
    Ok(vec![
        Figure::new("fresh", "runs/s", rate),
        Figure::new("10 million finished, of fresh", "%", of_fresh).at_least(90.0),
    ])
}

/// How long the execution of new runs takes, the start of the workers included.
async fn drain(deployment: &Deployment<'_>, runs: usize) -> Result<Duration> {
    Caller::new(&deployment.servers[0]).await?.enqueue(runs, 1_000, 4).await?;
    deployment.database.checkpoint().await?;
    let begin = Instant::now();
    let mut fleet = Fleet::start(&deployment.servers, WORKERS, SLOTS, Execution::EndAtOnce).await?;
    fleet.ended(runs as u64).await?;
    let took = begin.elapsed();
    anyhow::ensure!(fleet.distinct_starts()? == runs as u64, "not each run was started once");
    Ok(took)
}
