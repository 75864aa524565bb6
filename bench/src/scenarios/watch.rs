//! How soon watchers are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proto::v1::run_service_client::RunServiceClient;
use proto::v1::watch_runs_response::Event;
use proto::v1::{RunStatus, WatchRunsRequest, WatchRunsResponse};
use tokio::task::JoinSet;
use tonic::Streaming;

use crate::caller::{Caller, at_pace, due_of};
use crate::figure::Figure;
use crate::house::Bench;
use crate::times::Times;

pub const ABOUT: &str = "From the moment a run was due to be enqueued, 100 a second, until each of 100 watchers of all runs is told of it; the \
                         commit lies in between.";

const WATCHERS: usize = 100;
const RUNS: usize = 1_000;
const PER_SECOND: f64 = 100.0;
/// How long the last change may take to come.
const PATIENCE: Duration = Duration::from_secs(10);

pub async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let house = bench.house(1).await?;
    let caller = Caller::new(&house.servers[0]).await?;
    let (times, told) = (Arc::new(Times::default()), Arc::new(AtomicU64::new(0)));
    let mut watchers = JoinSet::new();
    // As pages do: many watches over a few connections.
    let mut channel = caller.channel.clone();
    for index in 0..WATCHERS {
        if index % 10 == 0 {
            channel = house.servers[0].connect().await?;
        }
        let request = WatchRunsRequest { include_snapshot: true, ..WatchRunsRequest::default() };
        let mut events = RunServiceClient::new(channel.clone()).watch_runs(request).await?.into_inner();
        while !matches!(next(&mut events).await?, Event::SnapshotComplete(_)) {}
        watchers.spawn(watch(events, Arc::clone(&times), Arc::clone(&told)));
    }
    at_pace(PER_SECOND, RUNS, |due| {
        let caller = caller.clone();
        async move { caller.enqueue_due(due).await }
    })
    .await?;
    tokio::time::timeout(PATIENCE, async {
        while let Some(ended) = watchers.join_next().await {
            ended??;
        }
        Ok::<_, anyhow::Error>(())
    })
    .await
    .with_context(|| format!("{} of {} changes were told", told.load(Ordering::Relaxed), WATCHERS * RUNS))??;
    house.close().await?;
    let [p50, p99] = times.figures("enqueue to watcher told");
    Ok(vec![p50, p99.at_most(50.0)])
}

async fn next(events: &mut Streaming<WatchRunsResponse>) -> Result<Event> {
    events.message().await?.and_then(|response| response.event).context("a watch was ended")
}

/// Watches until all runs were seen, each once.
async fn watch(mut events: Streaming<WatchRunsResponse>, times: Arc<Times>, told: Arc<AtomicU64>) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    while seen.len() < RUNS {
        if let Event::Change(change) = next(&mut events).await? {
            let run = change.run.context("a change without a run")?;
            ensure!(run.status() == RunStatus::Queued, "nobody executes this run");
            times.add_since(due_of(&run.params_json).context("a run of somebody else")?);
            told.fetch_add(1, Ordering::Relaxed);
            seen.insert(run.id);
        }
    }
    Ok(())
}
