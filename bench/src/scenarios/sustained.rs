//! Whether the throughput of the first seconds lasts for minutes.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::drain::{SLOTS, WORKERS};
use super::sql;
use crate::audit;
use crate::caller::Caller;
use crate::deployment::Bench;
use crate::figure::{Figure, rate};
use crate::fleet::{Execution, Fleet};

pub const ABOUT: &str = "Enqueued and executed at the same time for 5 minutes, with at most 50,000 runs open; then as many runs in plain \
                         SQL.";

const LASTS: Duration = Duration::from_secs(300);
const AHEAD: u64 = 50_000;
const STEP: usize = 10_000;

pub async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let deployment = bench.deploy(1).await?;
    let caller = Caller::new(&deployment.servers[0]).await?;
    let mut fleet = Fleet::start(&deployment.servers, WORKERS, SLOTS, Execution::EndAtOnce).await?;
    deployment.database.checkpoint().await?;
    let begin = Instant::now();
    let mut runs = 0;
    while begin.elapsed() < LASTS {
        caller.enqueue(STEP, 1_000, 2).await?;
        runs += STEP;
        while runs as u64 > fleet.seen.ended.load(Ordering::Relaxed) + AHEAD {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    fleet.ended(runs as u64).await?;
    let life = rate(runs, begin);
    audit::all_succeeded(&deployment, &fleet, runs as u64).await?;
    drop(fleet);
    deployment.close().await?;
    let plain = sql::life(bench, runs).await?;
    Ok(vec![
        Figure::new("whole life, 5 minutes", "runs/s", life),
        Figure::new("the same in plain SQL", "runs/s", plain),
        Figure::new("of plain SQL", "%", 100.0 * life / plain).at_least(35.0),
    ])
}
