//! How soon a change reaches watchers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proto::v1::watch_runs_response::Event;
use proto::v1::{RunStatus, WatchRunsRequest, WatchRunsResponse};
use tokio::task::JoinSet;
use tonic::Streaming;

use crate::caller::{Caller, at_pace, due_of};
use crate::deployment::Bench;
use crate::figure::Figure;
use crate::times::Times;

pub const ABOUT: &str = "From the due time of an enqueue, 100 a second, to the change at each of 100 watchers of all runs, the commit \
                         included.";

const WATCHERS: usize = 100;
const RUNS: usize = 1_000;
const PER_SECOND: f64 = 100.0;
/// How long the last change may take.
const TIMEOUT: Duration = Duration::from_secs(10);

pub async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let deployment = bench.deploy(1).await?;
    let caller = Caller::new(&deployment.servers[0]).await?;
    let (times, arrived) = (Arc::new(Times::default()), Arc::new(AtomicU64::new(0)));
    let mut watchers = JoinSet::new();
    // Ten watches share a connection, as pages of a browser do.
    let mut client = deployment.servers[0].connect().await?;
    for index in 0..WATCHERS {
        if index > 0 && index % 10 == 0 {
            client = deployment.servers[0].connect().await?;
        }
        let request = WatchRunsRequest { include_snapshot: true, ..WatchRunsRequest::default() };
        let mut events = client.runs().watch_runs(request).await?.into_inner();
        while !matches!(next(&mut events).await?, Event::SnapshotComplete(_)) {}
        watchers.spawn(watch(events, Arc::clone(&times), Arc::clone(&arrived)));
    }
    at_pace(PER_SECOND, RUNS, |due| {
        let caller = caller.clone();
        async move { caller.enqueue_due(due).await }
    })
    .await?;
    tokio::time::timeout(TIMEOUT, async {
        while let Some(ended) = watchers.join_next().await {
            ended??;
        }
        Ok::<_, anyhow::Error>(())
    })
    .await
    .with_context(|| format!("{} of {} changes arrived", arrived.load(Ordering::Relaxed), WATCHERS * RUNS))??;
    deployment.close().await?;
    let [p50, p99] = times.figures("enqueue to watcher");
    Ok(vec![p50, p99.at_most(50.0)])
}

async fn next(events: &mut Streaming<WatchRunsResponse>) -> Result<Event> {
    events.message().await?.and_then(|response| response.event).context("a watch ended")
}

/// Watches until it has seen all runs.
async fn watch(mut events: Streaming<WatchRunsResponse>, times: Arc<Times>, arrived: Arc<AtomicU64>) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    while seen.len() < RUNS {
        if let Event::Change(change) = next(&mut events).await? {
            let run = change.run.context("a change without a run")?;
            ensure!(run.status() == RunStatus::Queued, "a run without workers is {:?}", run.status());
            times.add_since(due_of(&run.params_json).context("a run without a due time")?);
            arrived.fetch_add(1, Ordering::Relaxed);
            seen.insert(run.id);
        }
    }
    Ok(())
}
