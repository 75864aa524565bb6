//! Whether what is fast for seconds is fast for minutes.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::drain::{SLOTS, WORKERS};
use super::{rate, sql};
use crate::audit;
use crate::caller::Caller;
use crate::figure::Figure;
use crate::fleet::{Doing, Fleet};
use crate::house::Bench;

pub const ABOUT: &str = "Enqueued and executed at the same time for 5 minutes, at most 50,000 runs ahead of what has ended; then as many runs in \
                         plain SQL.";

const LASTS: Duration = Duration::from_secs(300);
const AHEAD: u64 = 50_000;
const STEP: usize = 10_000;

pub async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let house = bench.house(1).await?;
    let caller = Caller::new(&house.servers[0]).await?;
    let mut fleet = Fleet::start(&house.servers, WORKERS, SLOTS, Doing::End).await?;
    house.database.checkpoint().await?;
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
    audit::all_succeeded(&house, &fleet, runs as u64).await?;
    drop(fleet);
    house.close().await?;
    let plain = sql::life(bench, runs).await?;
    Ok(vec![
        Figure::new("whole life, 5 minutes", "runs/s", life),
        Figure::new("the same in plain SQL", "runs/s", plain),
        Figure::new("of plain SQL", "%", 100.0 * life / plain).at_least(35.0),
    ])
}
