//! What other queues do on the same machine, in the same run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tokio::process::Command;

use super::drain::drained;
use crate::caller::Caller;
use crate::figure::Figure;
use crate::house::Bench;

pub const ABOUT: &str = "Other queues, each at its best documented settings (bench/peers/README.md), on a database of their own: 100,000 runs \
                         are enqueued, executed by nobody meanwhile, and then executed; and 100 a second, from when each was due until \
                         it begins.";

const PEERS: [&str; 3] = ["graphile-worker", "pg-boss", "river"];
const RUNS: usize = 100_000;

/// What the program of a peer tells.
#[derive(Debug, Deserialize)]
struct Told {
    enqueue_per_s: f64,
    drain_per_s: f64,
    start_p50_ms: f64,
    start_p99_ms: f64,
}

pub async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let house = bench.house(1).await?;
    let caller = Caller::new(&house.servers[0]).await?;
    let begin = std::time::Instant::now();
    caller.enqueue(RUNS, 1_000, 4).await?;
    let enqueued = super::rate(RUNS, begin);
    house.close().await?;
    let house = bench.house(1).await?;
    let (drain, _) = drained(&house, RUNS).await?;
    house.close().await?;
    let mut figures = vec![Figure::new("ops: enqueue", "runs/s", enqueued), Figure::new("ops: drain", "runs/s", drain)];
    for figure in super::latency::measure(bench).await? {
        figures.push(Figure { name: format!("ops: {}", figure.name), target: None, ..figure });
    }
    for peer in PEERS {
        let told = peer_tells(bench, peer).await?;
        figures.extend([
            Figure::new(format!("{peer}: enqueue"), "runs/s", told.enqueue_per_s),
            Figure::new(format!("{peer}: drain"), "runs/s", told.drain_per_s),
            Figure::new(format!("{peer}: enqueue to start, p50"), "ms", told.start_p50_ms),
            Figure::new(format!("{peer}: enqueue to start, p99"), "ms", told.start_p99_ms),
            Figure::new(format!("ops: drain, of {peer}"), "%", 100.0 * drain / told.drain_per_s),
        ]);
    }
    Ok(figures)
}

/// Runs the program of a peer on a new database.
async fn peer_tells(bench: &Bench, peer: &str) -> Result<Told> {
    let folder = Path::new("bench/peers");
    ensure!(folder.is_dir(), "there is no folder bench/peers here: begin in the folder of the repository");
    let home = std::env::var_os("PEERS_HOME").map_or_else(|| PathBuf::from(".tools/peers"), PathBuf::from);
    let home = std::path::absolute(home)?;
    let database = bench.database().await?;
    let mut command = Command::new(folder.join("run.sh"));
    command.arg(peer).arg(database.tcp_url()).env("PEERS_HOME", home).env("JOBS", RUNS.to_string());
    let output = command.kill_on_drop(true).output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{peer} failed, {}:\n{said}", output.status);
    let told = serde_json::from_slice(&output.stdout).with_context(|| format!("{peer} told something else"))?;
    database.remove().await?;
    Ok(told)
}
