//! What 10,000 idle workers cost.

use std::time::Duration;

use anyhow::Result;

use crate::audit;
use crate::caller::{Caller, at_pace};
use crate::deployment::Bench;
use crate::figure::Figure;
use crate::fleet::{Execution, Fleet};

pub const ABOUT: &str = "10,000 idle workers of one slot, a connection each: memory and processor time of the server, heartbeats, and the \
                         latency of 20 runs a second.";

const WORKERS: usize = 10_000;
const RUNS: usize = 200;
const PER_SECOND: f64 = 20.0;
/// Two heartbeat intervals.
const MEASURED: Duration = Duration::from_secs(10);

pub async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let deployment = bench.deploy(1).await?;
    let server = &deployment.servers[0];
    let caller = Caller::new(server).await?;
    let before = server.memory()?;
    let mut fleet = Fleet::start(&deployment.servers, WORKERS, 1, Execution::EndAtOnce).await?;
    let processor = server.processor()?;
    tokio::time::sleep(MEASURED).await;
    let processor = (server.processor()? - processor) / MEASURED.as_secs_f64();
    let memory = server.memory()?;
    at_pace(PER_SECOND, RUNS, |due| {
        let caller = caller.clone();
        async move { caller.enqueue_due(due).await }
    })
    .await?;
    fleet.ended(RUNS as u64).await?;
    audit::all_succeeded(&deployment, &fleet, RUNS as u64).await?;
    let [start_p50, start_p99] = fleet.seen.start_times.figures("enqueue to start");
    let [beat_p50, beat_p99] = fleet.seen.heartbeat_times.figures("heartbeat");
    drop(fleet);
    deployment.close().await?;
    Ok(vec![
        Figure::new("resident memory", "MB", memory / 1e6).at_most(600.0),
        Figure::new("memory a stream", "KiB", (memory - before) / 1_024.0 / WORKERS as f64),
        Figure::new("processor of the server", "%", 100.0 * processor),
        start_p50,
        start_p99,
        beat_p50,
        beat_p99,
    ])
}
