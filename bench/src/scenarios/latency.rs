//! How soon a run starts.

use anyhow::Result;

use crate::audit;
use crate::caller::{Caller, at_pace};
use crate::deployment::Bench;
use crate::figure::Figure;
use crate::fleet::{Execution, Fleet};

pub const ABOUT: &str = "From the due time of an enqueue, 100 a second in an open model, to the start of the run; 2 workers of 100 slots, \
                         otherwise idle.";

const PER_SECOND: f64 = 100.0;
const RUNS: usize = 1_000;

pub async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let deployment = bench.deploy(1).await?;
    let caller = Caller::new(&deployment.servers[0]).await?;
    let mut fleet = Fleet::start(&deployment.servers, 2, 100, Execution::EndAtOnce).await?;
    // The first runs also wait for connections and plans.
    caller.enqueue(200, 1, 1).await?;
    // Earlier measurements may still be on their way to the disk.
    deployment.database.checkpoint().await?;
    at_pace(PER_SECOND, RUNS, |due| {
        let caller = caller.clone();
        async move { caller.enqueue_due(due).await }
    })
    .await?;
    fleet.ended(RUNS as u64 + 200).await?;
    anyhow::ensure!(fleet.seen.start_times.len() == RUNS as u64, "some runs have no due time");
    audit::all_succeeded(&deployment, &fleet, RUNS as u64 + 200).await?;
    deployment.close().await?;
    let [p50, p99] = fleet.seen.start_times.figures("enqueue to start");
    Ok(vec![p50.at_most(3.0), p99.at_most(10.0)])
}
