//! Runs many seeds.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::task::JoinSet;

use super::child::{Child, End};
use super::options::Options;
use super::summary::Summary;

/// The most seeds at once. More would slow each other down so much that outages last longer than planned.
const MOST_AT_ONCE: usize = 64;

/// How long a run may take after its faults to settle, to judge, and to end its processes.
const AFTER_FAULTS: Duration = Duration::from_secs(300);

/// Runs all seeds, and passes each end to `notice` when it comes. Runs end when this is dropped or its process dies.
///
/// # Errors
///
/// A run can not be started, or the folder can not be made.
pub async fn run(options: Options, mut notice: impl FnMut(&End)) -> Result<Summary> {
    let Options { folder, parallel, .. } = &options;
    ensure!((1..=MOST_AT_ONCE).contains(parallel), "expected 1 to {MOST_AT_ONCE} seeds at once, not {parallel}");
    fs::create_dir_all(folder).with_context(|| format!("can not make {}", folder.display()))?;
    let options = Arc::new(options);
    let mut waiting = options.seeds.iter();
    let mut running = JoinSet::new();
    let start = |running: &mut JoinSet<_>, seed: u64| {
        let options = options.clone();
        running.spawn(async move { Child::start(&options, seed).await?.end(AFTER_FAULTS).await });
    };
    for seed in waiting.by_ref().take(options.parallel) {
        start(&mut running, *seed);
    }
    let mut summary = Summary::default();
    while let Some(end) = running.join_next().await {
        let end = end??;
        notice(&end);
        summary.add(&end);
        if let Some(seed) = waiting.next() {
            start(&mut running, *seed);
        }
    }
    Ok(summary)
}
