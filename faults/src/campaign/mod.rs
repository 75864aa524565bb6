//! Many seeds, some at once, each in a process of its own; and what came of all of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, iter};

use anyhow::{Context, Result, ensure};
use tokio::task::JoinSet;

mod child;
mod summary;

use child::Child;
pub use child::{End, Outcome};
pub use summary::Summary;

/// Seeds that are run at a time: beyond that they take each other's time, and outages last longer than they were meant to.
pub const MOST_AT_ONCE: usize = 64;

/// How long a run may take after its faults: to settle, to judge, and to end its processes.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a campaign shall do.
#[derive(Debug, Clone)]
pub struct Options {
    /// This program.
    pub program: PathBuf,
    /// What is passed on to each run, such as the program under test.
    pub arguments: Vec<String>,
    pub seeds: Vec<u64>,
    pub parallel: usize,
    /// How long faults are injected, in each run.
    pub seconds: u64,
    /// Where the runs write. What was good is removed.
    pub folder: PathBuf,
}

/// Seeds one after the other from the first; or else so many that nobody chose, short enough to be typed.
pub fn seeds(count: usize, first: Option<u64>) -> Vec<u64> {
    match first {
        Some(first) => (first..).take(count).collect(),
        None => iter::repeat_with(|| u64::from(rand::random::<u32>())).take(count).collect(),
    }
}

/// Runs all seeds, and tells each end when it comes. What goes on when this is dropped, or when its process dies, is ended.
///
/// # Errors
///
/// When runs can not be started, or their folders not be made.
pub async fn run(options: Options, mut tell: impl FnMut(&End)) -> Result<Summary> {
    let Options { folder, parallel, .. } = &options;
    ensure!((1..=MOST_AT_ONCE).contains(parallel), "expected 1 to {MOST_AT_ONCE} seeds at once, not {parallel}");
    fs::create_dir_all(folder).with_context(|| format!("can not make {}", folder.display()))?;
    let options = Arc::new(options);
    let mut waiting = options.seeds.iter();
    let mut going = JoinSet::new();
    let start = |going: &mut JoinSet<_>, seed: u64| {
        let options = options.clone();
        going.spawn(async move { Child::start(&options, seed).await?.end(PATIENCE).await });
    };
    for seed in waiting.by_ref().take(options.parallel) {
        start(&mut going, *seed);
    }
    let mut summary = Summary::default();
    while let Some(end) = going.join_next().await {
        let end = end??;
        tell(&end);
        summary.add(&end);
        if let Some(seed) = waiting.next() {
            start(&mut going, *seed);
        }
    }
    Ok(summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_follow_the_first_or_are_chosen_by_nobody() {
        assert_eq!(seeds(3, Some(7)), [7, 8, 9]);
        assert_eq!(seeds(3, None).len(), 3);
        assert_ne!(seeds(8, None), seeds(8, None));
    }
}
