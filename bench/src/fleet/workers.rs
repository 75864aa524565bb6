//! The workers of a scenario.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use client::Client;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::seen::{Execution, Seen};
use super::stream;
use crate::server::Server;

/// A fleet that makes no progress for this time has failed.
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(60);

/// Workers. Dropping this ends them.
#[derive(Debug)]
pub struct Fleet {
    pub seen: Arc<Seen>,
    workers: JoinSet<Result<()>>,
    size: usize,
}

impl Fleet {
    pub fn new() -> Self {
        Self { seen: Arc::default(), workers: JoinSet::new(), size: 0 }
    }

    /// Starts workers with this number of slots each, spread over the servers, each on a connection of its own.
    pub async fn start(servers: &[Server], workers: usize, slots: i64, execution: Execution) -> Result<Self> {
        let mut fleet = Self::new();
        for index in 0..workers {
            fleet.join(&servers[index % servers.len()].connect().await?, slots, execution).await?;
        }
        Ok(fleet)
    }

    /// Adds a worker. The server has welcomed it when this returns.
    pub async fn join(&mut self, client: &Client, slots: i64, execution: Execution) -> Result<()> {
        let stream = stream::open(client, self.size, slots, execution, Arc::clone(&self.seen)).await?;
        self.size += 1;
        self.workers.spawn(stream.work());
        Ok(())
    }

    /// Waits until this many reports were accepted in all.
    pub async fn ended(&mut self, reports: u64) -> Result<()> {
        self.counted(reports, |seen| &seen.ended, "ended").await
    }

    /// Waits until this many grants were started in all.
    pub async fn started(&mut self, starts: u64) -> Result<()> {
        self.counted(starts, |seen| &seen.starts, "started").await
    }

    async fn counted(&mut self, wanted: u64, count: fn(&Seen) -> &AtomicU64, what: &str) -> Result<()> {
        let seen = Arc::clone(&self.seen);
        let (mut last, mut moved) = (0, Instant::now());
        loop {
            let changed = seen.changed.notified();
            let have = count(&seen).load(Ordering::Relaxed);
            if have >= wanted {
                return Ok(());
            }
            if have != last {
                (last, moved) = (have, Instant::now());
            }
            ensure!(
                moved.elapsed() < PROGRESS_TIMEOUT,
                "{have} of {wanted} runs have {what}, and none more within {PROGRESS_TIMEOUT:?}"
            );
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
                Some(left) = self.workers.join_next() => bail!("a worker has left: {left:?}"),
            }
        }
    }

    /// The number of started grants. Fails if a grant was started twice.
    pub fn distinct_starts(&self) -> Result<u64> {
        let mut started = self.seen.started.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let all = started.len();
        started.sort_unstable();
        started.dedup();
        ensure!(started.len() == all, "{} grants were started twice", all - started.len());
        Ok(all as u64)
    }
}
