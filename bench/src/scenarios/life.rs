//! How fast runs are enqueued and executed at the same time.

use std::time::Instant;

use anyhow::Result;

use super::sql;
use crate::audit;
use crate::caller::Caller;
use crate::deployment::Bench;
use crate::figure::{Figure, rate};
use crate::fleet::{Execution, Fleet};

use super::drain::{SLOTS, WORKERS};

pub const ABOUT: &str = "Enqueued (batches of 1,000, 2 calls at once) and executed at the same time, until all have ended; and the same \
                         in plain SQL just before.";

const RUNS: usize = 300_000;

pub async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let plain = sql::life(bench, RUNS).await?;
    let deployment = bench.deploy(1).await?;
    let caller = Caller::new(&deployment.servers[0]).await?;
    let mut fleet = Fleet::start(&deployment.servers, WORKERS, SLOTS, Execution::EndAtOnce).await?;
    deployment.database.checkpoint().await?;
    let begin = Instant::now();
    let (enqueued, ended) = tokio::join!(caller.enqueue(RUNS, 1_000, 2), fleet.ended(RUNS as u64));
    enqueued?;
    ended?;
    let life = rate(RUNS, begin);
    audit::all_succeeded(&deployment, &fleet, RUNS as u64).await?;
    deployment.close().await?;
    Ok(vec![Figure::new("whole life", "runs/s", life), Figure::new("of plain SQL", "%", 100.0 * life / plain)])
}
