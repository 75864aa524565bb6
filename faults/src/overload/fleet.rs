//! The workers: streams of their own, with heartbeats that are timed. Most end each run at once; one keeps what it has until
//! it is cancelled.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use proto::v1::connect_request::Frame as In;
use proto::v1::connect_response::Frame as Out;
use proto::v1::worker_service_client::WorkerServiceClient;
use proto::v1::{
    Accepts, Cancelled, ConnectRequest, Credit, Hello, Lane, Lease, Outcome, Reports, RunReport, Succeeded,
    WorkerHeartbeat, outcome, succeeded,
};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

use super::samples::Samples;

/// The kind that is ended at once.
pub(super) const QUICK: &str = "quick";
/// The kind that is kept.
pub(super) const KEPT: &str = "kept";

/// Far more often than workers do, so that there is something to count.
const BEAT: Duration = Duration::from_millis(100);
/// Frames that wait to be sent.
const FRAMES: usize = 4_096;

/// What all workers have seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) heartbeats: Samples,
    pub(super) reports: Samples,
    /// From the call to the worker.
    pub(super) cancels: Samples,
    /// When each cancel was asked for.
    pub(super) asked: std::sync::Mutex<HashMap<String, Instant>>,
    pub(super) ended: AtomicU64,
    pub(super) lost: AtomicU64,
    /// Heartbeats that were not written.
    pub(super) frozen: AtomicU64,
    /// Reports.
    pub(super) refused: AtomicU64,
}

/// One worker.
pub(super) struct Member {
    pub(super) url: String,
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
    beaten: Option<Instant>,
}

impl Member {
    /// Works until its stream is ended, which nothing here is a reason for.
    pub(super) async fn work(self) -> Result<()> {
        let channel = Endpoint::from_shared(self.url)?.connect().await?;
        let (sender, frames) = mpsc::channel(FRAMES);
        let hello = Hello {
            protocol_version: 1,
            name: self.kind.to_owned(),
            lanes: vec![Lane::A.into()],
            kinds: vec![self.kind.to_owned()],
            ..Hello::default()
        };
        let (leases, reported) = (HashSet::new(), HashMap::new());
        let mut stream =
            Stream { seen: self.seen, kind: self.kind, sender, credit: self.slots, leases, reported, beaten: None };
        stream.send(In::Hello(hello))?;
        stream.send(In::Credit(Credit { total: self.slots }))?;
        let mut calls = WorkerServiceClient::new(channel).max_decoding_message_size(16 << 20);
        let mut frames = calls.connect(ReceiverStream::new(frames)).await?.into_inner();
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = frames.message() => {
                    let Some(frame) = message?.and_then(|message| message.frame) else {
                        bail!("the stream of a worker was ended");
                    };
                    stream.hear(frame)?;
                    self.held.send_replace(stream.leases.len());
                }
                _ = beat.tick(), if stream.beaten.is_none() => stream.beat()?,
            }
        }
    }
}

impl Stream {
    fn send(&self, frame: In) -> Result<()> {
        self.sender.try_send(ConnectRequest { frame: Some(frame) }).context("the server takes no frames")
    }

    fn beat(&mut self) -> Result<()> {
        let leases = self.leases.iter().map(|(run_id, fence)| Lease { run_id: run_id.clone(), fence: *fence });
        self.beaten = Some(Instant::now());
        self.send(In::Heartbeat(WorkerHeartbeat { leases: leases.collect(), progress: Vec::new() }))
    }

    fn hear(&mut self, frame: Out) -> Result<()> {
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
                if let Some(beaten) = self.beaten.take() {
                    self.seen.heartbeats.add(beaten.elapsed());
                }
                // One that was reported while the heartbeat was on its way is over, and not lost.
                let lost = ack.lost.into_iter().filter(|it| self.leases.contains(&(it.run_id.clone(), it.fence)));
                self.seen.lost.fetch_add(lost.count() as u64, Ordering::Relaxed);
                self.seen.frozen.fetch_add(u64::from(ack.frozen), Ordering::Relaxed);
                Ok(())
            }
            Out::ReportAcks(list) => {
                for result in list.results {
                    if let Some(reported) = self.reported.remove(&result.run_id) {
                        self.seen.reports.add(reported.elapsed());
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
                    let asked = self.seen.asked.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    if let Some(asked) = asked.get(&cancel.run_id) {
                        self.seen.cancels.add(now.duration_since(*asked));
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
