//! What ten thousand idle workers cost.

use std::time::Duration;

use anyhow::Result;

use crate::caller::{Caller, at_pace};
use crate::figure::Figure;
use crate::fleet::{Doing, Fleet};
use crate::house::Bench;

pub const ABOUT: &str = "10,000 idle workers of one slot, a connection each: memory of the server, its processor time, its heartbeats, and whether \
                         20 runs a second begin at once all the same.";

const WORKERS: usize = 10_000;
const RUNS: usize = 200;
const PER_SECOND: f64 = 20.0;
/// Two rounds of heartbeats.
const LOOK: Duration = Duration::from_secs(10);

pub async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let house = bench.house(1).await?;
    let server = &house.servers[0];
    let caller = Caller::new(server).await?;
    let before = server.memory()?;
    let mut fleet = Fleet::start(&house.servers, WORKERS, 1, Doing::End).await?;
    let processor = server.processor()?;
    tokio::time::sleep(LOOK).await;
    let processor = (server.processor()? - processor) / LOOK.as_secs_f64();
    let memory = server.memory()?;
    at_pace(PER_SECOND, RUNS, |due| {
        let caller = caller.clone();
        async move { caller.enqueue_due(due).await }
    })
    .await?;
    fleet.ended(RUNS as u64).await?;
    crate::audit::all_succeeded(&house, &fleet, RUNS as u64).await?;
    let [start_p50, start_p99] = fleet.seen.start_times.figures("enqueue to start");
    let [beat_p50, beat_p99] = fleet.seen.heartbeat_times.figures("heartbeat");
    drop(fleet);
    house.close().await?;
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
