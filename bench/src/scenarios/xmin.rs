//! What the open transaction of another client costs.

use std::time::{Duration, Instant};

use anyhow::Result;
use sqlx::PgConnection;

use super::drain::{SLOTS, WORKERS};
use crate::audit;
use crate::caller::Caller;
use crate::deployment::Bench;
use crate::figure::{Figure, rate};
use crate::fleet::{Execution, Fleet};

pub const ABOUT: &str = "Whole lives of 300,000 runs while a foreign transaction holds an old snapshot, compared with none just before; and \
                         the time after its end until 20,000 runs reach 80 % of the speed without it.";

const RUNS: usize = 300_000;
const PROBE: usize = 20_000;
/// The longest time to recover.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(120);

pub async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let deployment = bench.deploy(1).await?;
    let caller = Caller::new(&deployment.servers[0]).await?;
    let mut fleet = Fleet::start(&deployment.servers, WORKERS, SLOTS, Execution::EndAtOnce).await?;
    let mut all = 0;
    let free = life(&caller, &mut fleet, &mut all, RUNS).await?;
    let mut foreign = deployment.database.connect().await?;
    hold(&mut foreign).await?;
    let held = life(&caller, &mut fleet, &mut all, RUNS).await?;
    sqlx::raw_sql("COMMIT").execute(&mut foreign).await?;
    let begin = Instant::now();
    while life(&caller, &mut fleet, &mut all, PROBE).await? < 0.8 * free {
        anyhow::ensure!(begin.elapsed() < RECOVERY_TIMEOUT, "no recovery within {RECOVERY_TIMEOUT:?}");
    }
    let recovered = begin.elapsed().as_secs_f64();
    audit::all_succeeded(&deployment, &fleet, all as u64).await?;
    drop(fleet);
    deployment.close().await?;
    Ok(vec![
        Figure::new("beside an old snapshot, of without", "%", 100.0 * held / free).at_least(40.0),
        Figure::new("back after its end", "s", recovered).at_most(60.0),
    ])
}

async fn hold(foreign: &mut PgConnection) -> Result<()> {
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM ops.sessions").execute(foreign).await?;
    Ok(())
}

async fn life(caller: &Caller, fleet: &mut Fleet, all: &mut usize, runs: usize) -> Result<f64> {
    let begin = Instant::now();
    *all += runs;
    let (enqueued, ended) = tokio::join!(caller.enqueue(runs, 1_000, 2), fleet.ended(*all as u64));
    enqueued?;
    ended?;
    Ok(rate(runs, begin))
}
