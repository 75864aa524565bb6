//! Other queues on the same machine, in the same run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tokio::process::Command;

use super::drain::drained;
use crate::caller::Caller;
use crate::deployment::Bench;
use crate::figure::{Figure, rate};

pub const ABOUT: &str = "Other queues, each with its best documented settings (bench/peers/README.md), each on a new database: 100,000 runs \
                         are enqueued without workers and then executed; and 100 runs a second, from the due time of each to its \
                         start.";

const PEERS: [&str; 3] = ["graphile-worker", "pg-boss", "river"];
const RUNS: usize = 100_000;

/// The result that the program of a peer prints.
#[derive(Debug, Deserialize)]
struct Measured {
    enqueue_per_s: f64,
    drain_per_s: f64,
    start_p50_ms: f64,
    start_p99_ms: f64,
}

pub async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let deployment = bench.deploy(1).await?;
    let caller = Caller::new(&deployment.servers[0]).await?;
    let begin = std::time::Instant::now();
    caller.enqueue(RUNS, 1_000, 4).await?;
    let enqueued = rate(RUNS, begin);
    deployment.close().await?;
    let deployment = bench.deploy(1).await?;
    let (drain, _) = drained(&deployment, RUNS).await?;
    deployment.close().await?;
    let mut figures = vec![Figure::new("ops: enqueue", "runs/s", enqueued), Figure::new("ops: drain", "runs/s", drain)];
    for figure in super::latency::measure(bench).await? {
        figures.push(Figure { name: format!("ops: {}", figure.name), target: None, ..figure });
    }
    for peer in PEERS {
        let measured = run_peer(bench, peer).await?;
        figures.extend([
            Figure::new(format!("{peer}: enqueue"), "runs/s", measured.enqueue_per_s),
            Figure::new(format!("{peer}: drain"), "runs/s", measured.drain_per_s),
            Figure::new(format!("{peer}: enqueue to start, p50"), "ms", measured.start_p50_ms),
            Figure::new(format!("{peer}: enqueue to start, p99"), "ms", measured.start_p99_ms),
            Figure::new(format!("ops: drain, of {peer}"), "%", 100.0 * drain / measured.drain_per_s),
        ]);
    }
    Ok(figures)
}

/// Runs the program of a peer on a new database.
async fn run_peer(bench: &Bench, peer: &str) -> Result<Measured> {
    let folder = Path::new("bench/peers");
    ensure!(folder.is_dir(), "there is no folder bench/peers here: start in the folder of the repository");
    let home = std::env::var_os("PEERS_HOME").map_or_else(|| PathBuf::from(".tools/peers"), PathBuf::from);
    let home = std::path::absolute(home)?;
    let database = bench.database().await?;
    let mut command = Command::new(folder.join("run.sh"));
    command.arg(peer).arg(database.tcp_url()).env("PEERS_HOME", home).env("JOBS", RUNS.to_string());
    let output = command.kill_on_drop(true).output().await?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{peer} failed, {}:\n{errors}", output.status);
    let measured = serde_json::from_slice(&output.stdout).with_context(|| format!("{peer} printed something else"))?;
    database.remove().await?;
    Ok(measured)
}
