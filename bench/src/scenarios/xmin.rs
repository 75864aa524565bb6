//! What a stranger's open transaction costs.

use std::time::{Duration, Instant};

use anyhow::Result;
use sqlx::PgConnection;

use super::drain::{SLOTS, WORKERS};
use super::rate;
use crate::audit;
use crate::caller::Caller;
use crate::figure::Figure;
use crate::fleet::{Doing, Fleet};
use crate::house::Bench;

pub const ABOUT: &str = "Whole lives of 300,000 runs while a stranger's transaction holds an old snapshot, against none just before; and how long \
                         after its end it takes until 20,000 runs go through as fast as 80 % of before.";

const RUNS: usize = 300_000;
const PROBE: usize = 20_000;
const PATIENCE: Duration = Duration::from_secs(120);

pub async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let house = bench.house(1).await?;
    let caller = Caller::new(&house.servers[0]).await?;
    let mut fleet = Fleet::start(&house.servers, WORKERS, SLOTS, Doing::End).await?;
    let mut all = 0;
    let free = life(&caller, &mut fleet, &mut all, RUNS).await?;
    let mut stranger = house.database.connect().await?;
    hold(&mut stranger).await?;
    let held = life(&caller, &mut fleet, &mut all, RUNS).await?;
    sqlx::raw_sql("COMMIT").execute(&mut stranger).await?;
    let begin = Instant::now();
    while life(&caller, &mut fleet, &mut all, PROBE).await? < 0.8 * free {
        anyhow::ensure!(begin.elapsed() < PATIENCE, "it does not recover");
    }
    let recovered = begin.elapsed().as_secs_f64();
    audit::all_succeeded(&house, &fleet, all as u64).await?;
    drop(fleet);
    house.close().await?;
    Ok(vec![
        Figure::new("beside an old snapshot, of without", "%", 100.0 * held / free).at_least(40.0),
        Figure::new("back after its end", "s", recovered).at_most(60.0),
    ])
}

async fn hold(stranger: &mut PgConnection) -> Result<()> {
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM ops.sessions").execute(stranger).await?;
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
