//! The workers. Most end each run at once; one keeps its runs until they are cancelled. Each sends a heartbeat every 100 ms. They count
//! failures; the workers of the scenarios end at the first one.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use client::Client;
use proto::v1::connect_request::Frame as In;
use proto::v1::connect_response::Frame as Out;
use proto::v1::{
    Accepts, Cancelled, ConnectRequest, Credit, Hello, Lane, Lease, Outcome, Reports, RunReport, Succeeded,
    WorkerHeartbeat, outcome, succeeded,
};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_stream::wrappers::ReceiverStream;

use crate::times::Times;

/// The kind of runs that end at once.
pub(super) const QUICK: &str = "quick";
/// The kind of runs that are kept.
pub(super) const KEPT: &str = "kept";

/// Far shorter than the interval of real workers, so that there are many to time.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(100);
/// The most frames that wait to be sent.
const FRAMES: usize = 4_096;

/// The counts and times of all workers.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// From a heartbeat to its answer.
    pub(super) heartbeat_times: Times,
    /// From a report to its answer.
    pub(super) report_times: Times,
    /// From a cancel call to its arrival at the worker.
    pub(super) cancel_times: Times,
    /// When each run was cancelled.
    pub(super) cancelled: Mutex<HashMap<String, Instant>>,
    pub(super) ended: AtomicU64,
    /// Grants that the answers to heartbeats named as lost.
    pub(super) lost: AtomicU64,
    /// Heartbeats that were answered as frozen.
    pub(super) frozen: AtomicU64,
    /// Reports that were refused.
    pub(super) refused: AtomicU64,
}

/// One worker.
pub(super) struct Worker {
    pub(super) client: Client,
    pub(super) kind: &'static str,
    pub(super) slots: i64,
    pub(super) seen: Arc<Seen>,
    /// How many runs it holds.
    pub(super) held: watch::Sender<usize>,
}

struct Stream {
    seen: Arc<Seen>,
    kind: &'static str,
    sender: mpsc::Sender<ConnectRequest>,
    credit: i64,
    leases: HashSet<(String, i64)>,
    reported: HashMap<String, Instant>,
    heartbeat_sent: Option<Instant>,
}

impl Worker {
    /// Works until the stream ends. Only a failure ends it.
    pub(super) async fn work(self) -> Result<()> {
        let (sender, frames) = mpsc::channel(FRAMES);
        let hello = Hello {
            protocol_version: 1,
            name: self.kind.to_owned(),
            lanes: vec![Lane::A.into()],
            kinds: vec![self.kind.to_owned()],
            ..Hello::default()
        };
        let (leases, reported) = (HashSet::new(), HashMap::new());
        let mut stream = Stream {
            seen: self.seen,
            kind: self.kind,
            sender,
            credit: self.slots,
            leases,
            reported,
            heartbeat_sent: None,
        };
        stream.send(In::Hello(hello))?;
        stream.send(In::Credit(Credit { total: self.slots }))?;
        let mut frames = self.client.workers().connect(ReceiverStream::new(frames)).await?.into_inner();
        let mut heartbeats = interval(HEARTBEAT_INTERVAL);
        heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = frames.message() => {
                    let Some(frame) = message?.and_then(|message| message.frame) else {
                        bail!("the server ended the stream of a worker");
                    };
                    stream.receive(frame)?;
                    self.held.send_replace(stream.leases.len());
                }
                _ = heartbeats.tick(), if stream.heartbeat_sent.is_none() => stream.heartbeat()?,
            }
        }
    }
}

impl Stream {
    fn send(&self, frame: In) -> Result<()> {
        self.sender.try_send(ConnectRequest { frame: Some(frame) }).context("the server reads no frames")
    }

    fn heartbeat(&mut self) -> Result<()> {
        let leases = self.leases.iter().map(|(run_id, fence)| Lease { run_id: run_id.clone(), fence: *fence });
        self.heartbeat_sent = Some(Instant::now());
        self.send(In::Heartbeat(WorkerHeartbeat { leases: leases.collect(), progress: Vec::new(), pause: None }))
    }

    fn receive(&mut self, frame: Out) -> Result<()> {
        match frame {
            Out::Assignments(list) => {
                let lease =
                    |it: proto::v1::Assignment| Lease { run_id: it.run.unwrap_or_default().id, fence: it.fence };
                let leases: Vec<Lease> = list.assignments.into_iter().map(lease).collect();
                self.send(In::Accepts(Accepts { leases }))
            }
            Out::Starts(list) => {
                let started: Vec<(String, i64)> =
                    list.starts.into_iter().map(|start| (start.run_id, start.fence)).collect();
                if self.kind == KEPT {
                    self.leases.extend(started);
                    return Ok(());
                }
                let result = || Some(succeeded::Result::ResultJson("1".to_owned()));
                self.report(started, || outcome::Outcome::Succeeded(Succeeded { result: result() }))
            }
            Out::HeartbeatAck(ack) => {
                if let Some(sent) = self.heartbeat_sent.take() {
                    self.seen.heartbeat_times.add(sent.elapsed());
                }
                // A grant whose report overtook the heartbeat has ended, and is not lost.
                let lost = ack.lost.into_iter().filter(|it| self.leases.contains(&(it.run_id.clone(), it.fence)));
                self.seen.lost.fetch_add(lost.count() as u64, Ordering::Relaxed);
                self.seen.frozen.fetch_add(u64::from(ack.frozen), Ordering::Relaxed);
                Ok(())
            }
            Out::ReportAcks(list) => {
                for result in list.results {
                    if let Some(reported) = self.reported.remove(&result.run_id) {
                        self.seen.report_times.add(reported.elapsed());
                    }
                    self.seen.refused.fetch_add(u64::from(!result.accepted), Ordering::Relaxed);
                    self.seen.ended.fetch_add(1, Ordering::Relaxed);
                    self.credit += 1;
                }
                self.send(In::Credit(Credit { total: self.credit }))
            }
            Out::Cancels(list) => {
                let now = Instant::now();
                let mut cancelled = Vec::new();
                for cancel in list.cancels {
                    let sent = self.seen.cancelled.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(sent) = sent.get(&cancel.run_id) {
                        self.seen.cancel_times.add(now.duration_since(*sent));
                    }
                    self.leases.remove(&(cancel.run_id.clone(), cancel.fence));
                    cancelled.push((cancel.run_id, cancel.fence));
                }
                self.report(cancelled, || outcome::Outcome::Cancelled(Cancelled::default()))
            }
            Out::Welcome(_) | Out::Revokes(_) | Out::EventsAck(_) | Out::Drain(_) => Ok(()),
        }
    }

    fn report(&mut self, runs: Vec<(String, i64)>, outcome: impl Fn() -> outcome::Outcome) -> Result<()> {
        let now = Instant::now();
        let mut reports = Vec::with_capacity(runs.len());
        for (run_id, fence) in runs {
            self.reported.insert(run_id.clone(), now);
            reports.push(RunReport { run_id, fence, outcome: Some(Outcome { outcome: Some(outcome()) }) });
        }
        self.send(In::Reports(Reports { reports }))
    }
}
