//! How soon a run begins.

use anyhow::Result;

use crate::audit;
use crate::caller::{Caller, at_pace};
use crate::figure::Figure;
use crate::fleet::{Doing, Fleet};
use crate::house::Bench;

pub const ABOUT: &str = "From the moment a run was due to be enqueued, 100 a second whatever is answered, until its worker may begin; \
                         2 workers of 100 slots, otherwise idle.";

const PER_SECOND: f64 = 100.0;
const RUNS: usize = 1_000;

pub async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let house = bench.house(1).await?;
    let caller = Caller::new(&house.servers[0]).await?;
    let mut fleet = Fleet::start(&house.servers, 2, 100, Doing::End).await?;
    // What only the first runs pay for: connections and plans.
    caller.enqueue(200, 1, 1).await?;
    // What was measured before may still be on its way to the disk.
    house.database.checkpoint().await?;
    at_pace(PER_SECOND, RUNS, |due| {
        let caller = caller.clone();
        async move { caller.enqueue_due(due).await }
    })
    .await?;
    fleet.ended(RUNS as u64 + 200).await?;
    anyhow::ensure!(fleet.seen.start_times.len() == RUNS as u64, "some runs did not say when they were due");
    audit::all_succeeded(&house, &fleet, RUNS as u64 + 200).await?;
    house.close().await?;
    let [p50, p99] = fleet.seen.start_times.figures("enqueue to start");
    Ok(vec![p50.at_most(3.0), p99.at_most(10.0)])
}
