//! The workers: streams of their own, which end each run at once, or keep it until it is cancelled.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::transport::Channel;
use uuid::Uuid;

use crate::fleet_stream;
use crate::server::Server;
use crate::times::Times;

/// How long nothing may happen until what was asked for has come.
const PATIENCE: Duration = Duration::from_secs(60);

/// What workers do with a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// They report its success as soon as they may begin.
    End,
    /// They keep it until it is cancelled, and take no other for it.
    Keep,
}

/// What all workers of a fleet have seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// Each grant that was started.
    pub started: Mutex<Vec<(Uuid, i64)>>,
    pub starts: AtomicU64,
    /// Reports that were accepted.
    pub ended: AtomicU64,
    /// From when a run was due until its worker may begin.
    pub start_times: Times,
    /// From when a cancel was due until the worker was told.
    pub cancel_times: Times,
    /// From a heartbeat to its answer.
    pub heartbeat_times: Times,
    pub news: Notify,
}

/// Workers, which leave with this.
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

    /// So many workers with so many slots each, dealt out over the servers, a connection each.
    pub async fn start(servers: &[Server], workers: usize, slots: i64, doing: Doing) -> Result<Self> {
        let mut fleet = Self::new();
        for index in 0..workers {
            fleet.join(servers[index % servers.len()].connect().await?, slots, doing).await?;
        }
        Ok(fleet)
    }

    /// One more worker, which is welcomed when this returns.
    pub async fn join(&mut self, channel: Channel, slots: i64, doing: Doing) -> Result<()> {
        let stream = fleet_stream::open(channel, self.size, slots, doing, Arc::clone(&self.seen)).await?;
        self.size += 1;
        self.workers.spawn(stream.work());
        Ok(())
    }

    /// Waits until so many reports were accepted in all.
    pub async fn ended(&mut self, reports: u64) -> Result<()> {
        self.counted(reports, |seen| &seen.ended, "ended").await
    }

    /// Waits until so many grants were started in all.
    pub async fn started(&mut self, starts: u64) -> Result<()> {
        self.counted(starts, |seen| &seen.starts, "started").await
    }

    async fn counted(&mut self, wanted: u64, count: fn(&Seen) -> &AtomicU64, what: &str) -> Result<()> {
        let seen = Arc::clone(&self.seen);
        let (mut last, mut moved) = (0, Instant::now());
        loop {
            let news = seen.news.notified();
            let have = count(&seen).load(Ordering::Relaxed);
            if have >= wanted {
                return Ok(());
            }
            if have != last {
                (last, moved) = (have, Instant::now());
            }
            ensure!(moved.elapsed() < PATIENCE, "{have} of {wanted} runs have {what}, and nothing happens");
            tokio::select! {
                () = news => {}
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
                Some(left) = self.workers.join_next() => bail!("a worker has left: {left:?}"),
            }
        }
    }

    /// Whether no grant was started twice, and how many were.
    pub fn distinct_starts(&self) -> Result<u64> {
        let mut started = self.seen.started.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let all = started.len();
        started.sort_unstable();
        started.dedup();
        ensure!(started.len() == all, "{} grants were started twice", all - started.len());
        Ok(all as u64)
    }
}
