//! One worker's stream.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use anyhow::{Context, Result, bail};
use proto::v1::connect_request::Frame as In;
use proto::v1::connect_response::Frame as Out;
use proto::v1::worker_service_client::WorkerServiceClient;
use proto::v1::{
    Accepts, Assignments, Cancelled, Cancels, ConnectRequest, ConnectResponse, Credit, Hello, Lane, Lease, Outcome,
    ReportAcks, Reports, RunReport, Starts, Succeeded, WorkerHeartbeat, outcome, succeeded,
};
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;
use uuid::Uuid;

use crate::caller::due_of;
use crate::fleet::{Doing, Seen};
use crate::times::now;

/// Frames that wait to be sent.
const FRAMES: usize = 4_096;
/// Assumed if the server does not say how often.
const BEAT: Duration = Duration::from_secs(5);

pub struct Stream {
    doing: Doing,
    seen: Arc<Seen>,
    sender: mpsc::Sender<ConnectRequest>,
    frames: Streaming<ConnectResponse>,
    beat: Duration,
    credit: i64,
    /// When runs were due that are accepted and not started.
    due: HashMap<String, u64>,
    held: HashSet<(String, i64)>,
    beaten: Option<u64>,
}

/// Says Hello, and waits until it is welcome.
pub async fn open(channel: Channel, number: usize, slots: i64, doing: Doing, seen: Arc<Seen>) -> Result<Stream> {
    let (sender, frames) = mpsc::channel(FRAMES);
    let hello = Hello {
        protocol_version: 1,
        name: format!("bench-{number}"),
        lanes: vec![Lane::A.into()],
        kinds: vec![crate::caller::KIND.to_owned()],
        ..Hello::default()
    };
    let mut calls = WorkerServiceClient::new(channel).max_decoding_message_size(32 << 20);
    send(&sender, In::Hello(hello))?;
    let mut frames = calls.connect(ReceiverStream::new(frames)).await?.into_inner();
    let first = frames.message().await?.and_then(|response| response.frame);
    let Some(Out::Welcome(welcome)) = first else { bail!("expected Welcome, got {first:?}") };
    let beat = welcome.heartbeat_interval.and_then(|it| Duration::try_from(it).ok()).unwrap_or(BEAT);
    send(&sender, In::Credit(Credit { total: slots }))?;
    Ok(Stream {
        doing,
        seen,
        sender,
        frames,
        beat,
        credit: slots,
        due: HashMap::new(),
        held: HashSet::new(),
        beaten: None,
    })
}

fn send(sender: &mpsc::Sender<ConnectRequest>, frame: In) -> Result<()> {
    sender.try_send(ConnectRequest { frame: Some(frame) }).context("the server takes no frames")
}

impl Stream {
    /// Works until the stream is ended, which nothing here is a reason for.
    pub async fn work(mut self) -> Result<()> {
        let mut beats = interval(self.beat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = self.frames.message() => {
                    let frame = message?.and_then(|message| message.frame).context("the stream was ended")?;
                    self.hear(frame)?;
                }
                _ = beats.tick(), if self.beaten.is_none() => {
                    let lease = |(run_id, fence): &(String, i64)| Lease { run_id: run_id.clone(), fence: *fence };
                    let leases = self.held.iter().map(lease).collect();
                    self.beaten = Some(now());
                    send(&self.sender, In::Heartbeat(WorkerHeartbeat { leases, progress: Vec::new() }))?;
                }
            }
        }
    }

    fn hear(&mut self, frame: Out) -> Result<()> {
        match frame {
            Out::Assignments(list) => self.accept(list),
            Out::Starts(list) => self.begin(list),
            Out::ReportAcks(list) => self.acknowledged(&list),
            Out::Cancels(list) => self.stop(list),
            Out::HeartbeatAck(ack) => {
                if let Some(beaten) = self.beaten.take() {
                    self.seen.heartbeat_times.add_since(beaten);
                }
                let lost = ack.lost.iter().filter(|it| self.held.contains(&(it.run_id.clone(), it.fence))).count();
                anyhow::ensure!(lost == 0, "{lost} leases were lost");
                Ok(())
            }
            Out::Revokes(list) => bail!("grants were revoked: {:?}", list.revokes.first()),
            Out::Drain(drain) => bail!("the worker shall drain: {:?}", drain.reason()),
            Out::Welcome(_) | Out::EventsAck(_) => Ok(()),
        }
    }

    fn accept(&mut self, list: Assignments) -> Result<()> {
        let mut leases = Vec::with_capacity(list.assignments.len());
        for assignment in list.assignments {
            let run = assignment.run.context("an assignment without a run")?;
            if let Some(due) = due_of(&run.params_json) {
                self.due.insert(run.id.clone(), due);
            }
            leases.push(Lease { run_id: run.id, fence: assignment.fence });
        }
        send(&self.sender, In::Accepts(Accepts { leases }))
    }

    fn begin(&mut self, list: Starts) -> Result<()> {
        for start in &list.starts {
            if let Some(due) = self.due.remove(&start.run_id) {
                self.seen.start_times.add_since(due);
            }
        }
        {
            let mut started = self.seen.started.lock().unwrap_or_else(PoisonError::into_inner);
            for start in &list.starts {
                started.push((Uuid::parse_str(&start.run_id)?, start.fence));
            }
        }
        self.seen.starts.fetch_add(list.starts.len() as u64, Ordering::Relaxed);
        if self.doing == Doing::Keep {
            self.held.extend(list.starts.into_iter().map(|start| (start.run_id, start.fence)));
            self.seen.news.notify_waiters();
            return Ok(());
        }
        let succeeded = Succeeded { result: Some(succeeded::Result::ResultJson("{\"done\":true}".to_owned())) };
        let outcome = Outcome { outcome: Some(outcome::Outcome::Succeeded(succeeded)) };
        self.report(list.starts.into_iter().map(|start| (start.run_id, start.fence)), &outcome)
    }

    fn stop(&mut self, list: Cancels) -> Result<()> {
        for cancel in &list.cancels {
            if let Ok(due) = cancel.reason.parse() {
                self.seen.cancel_times.add_since(due);
            }
        }
        let outcome = Outcome { outcome: Some(outcome::Outcome::Cancelled(Cancelled::default())) };
        let cancelled: Vec<_> = list.cancels.into_iter().map(|cancel| (cancel.run_id, cancel.fence)).collect();
        // The same cancel may be told again.
        let news: Vec<_> = cancelled.into_iter().filter(|grant| self.held.remove(grant)).collect();
        if news.is_empty() { Ok(()) } else { self.report(news.into_iter(), &outcome) }
    }

    fn report(&self, grants: impl Iterator<Item = (String, i64)>, outcome: &Outcome) -> Result<()> {
        let report = |(run_id, fence)| RunReport { run_id, fence, outcome: Some(outcome.clone()) };
        send(&self.sender, In::Reports(Reports { reports: grants.map(report).collect() }))
    }

    fn acknowledged(&mut self, list: &ReportAcks) -> Result<()> {
        if let Some(refused) = list.results.iter().find(|result| !result.accepted) {
            bail!("a report was refused: {refused:?}");
        }
        self.seen.ended.fetch_add(list.results.len() as u64, Ordering::Relaxed);
        self.seen.news.notify_waiters();
        if self.doing == Doing::Keep {
            return Ok(());
        }
        self.credit += list.results.len() as i64;
        send(&self.sender, In::Credit(Credit { total: self.credit }))
    }
}
