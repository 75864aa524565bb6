//! One worker's stream.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use client::Client;
use proto::v1::connect_request::Frame as In;
use proto::v1::connect_response::Frame as Out;
use proto::v1::{
    Accepts, Assignments, Cancelled, Cancels, ConnectRequest, ConnectResponse, Credit, Hello, Lane, Lease, Outcome,
    ReportAcks, Reports, RunReport, Starts, Succeeded, WorkerHeartbeat, outcome, succeeded,
};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use uuid::Uuid;

use super::seen::{Execution, Seen};
use crate::caller::{KIND, due_of};
use crate::times::now;

/// The most frames that wait to be sent.
const FRAMES: usize = 4_096;
/// The heartbeat interval if the server names none.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);

pub struct Stream {
    execution: Execution,
    seen: Arc<Seen>,
    sender: mpsc::Sender<ConnectRequest>,
    frames: Streaming<ConnectResponse>,
    heartbeat_interval: Duration,
    credit: i64,
    /// The due time of each run that is accepted but not started.
    due: HashMap<String, u64>,
    held: HashSet<(String, i64)>,
    /// When the heartbeat that has no answer yet was sent.
    heartbeat_sent: Option<u64>,
}

/// Sends Hello and waits for Welcome.
pub async fn open(client: &Client, number: usize, slots: i64, execution: Execution, seen: Arc<Seen>) -> Result<Stream> {
    let (sender, frames) = mpsc::channel(FRAMES);
    let hello = Hello {
        protocol_version: 1,
        name: format!("bench-{number}"),
        lanes: vec![Lane::A.into()],
        kinds: vec![KIND.to_owned()],
        ..Hello::default()
    };
    send(&sender, In::Hello(hello))?;
    let mut frames = client.workers().connect(ReceiverStream::new(frames)).await?.into_inner();
    let first = frames.message().await?.and_then(|response| response.frame);
    let Some(Out::Welcome(welcome)) = first else { bail!("expected Welcome, got {first:?}") };
    let heartbeat_interval =
        welcome.heartbeat_interval.and_then(|it| Duration::try_from(it).ok()).unwrap_or(HEARTBEAT_INTERVAL);
    send(&sender, In::Credit(Credit { total: slots }))?;
    Ok(Stream {
        execution,
        seen,
        sender,
        frames,
        heartbeat_interval,
        credit: slots,
        due: HashMap::new(),
        held: HashSet::new(),
        heartbeat_sent: None,
    })
}

fn send(sender: &mpsc::Sender<ConnectRequest>, frame: In) -> Result<()> {
    sender.try_send(ConnectRequest { frame: Some(frame) }).context("the server reads no frames")
}

impl Stream {
    /// Works until the stream ends. Only a failure ends it.
    pub async fn work(mut self) -> Result<()> {
        let mut heartbeats = interval(self.heartbeat_interval);
        heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = self.frames.message() => {
                    let frame = message?.and_then(|message| message.frame).context("the server ended the stream")?;
                    self.receive(frame)?;
                }
                _ = heartbeats.tick(), if self.heartbeat_sent.is_none() => {
                    let lease = |(run_id, fence): &(String, i64)| Lease { run_id: run_id.clone(), fence: *fence };
                    let leases = self.held.iter().map(lease).collect();
                    self.heartbeat_sent = Some(now());
                    send(&self.sender, In::Heartbeat(WorkerHeartbeat { leases, progress: Vec::new(), pause: None }))?;
                }
            }
        }
    }

    fn receive(&mut self, frame: Out) -> Result<()> {
        match frame {
            Out::Assignments(list) => self.accept(list),
            Out::Starts(list) => self.start(list),
            Out::ReportAcks(list) => self.acknowledged(&list),
            Out::Cancels(list) => self.cancel(list),
            Out::HeartbeatAck(ack) => {
                if let Some(sent) = self.heartbeat_sent.take() {
                    self.seen.heartbeat_times.add_since(sent);
                }
                let lost = ack.lost.iter().filter(|it| self.held.contains(&(it.run_id.clone(), it.fence))).count();
                anyhow::ensure!(lost == 0, "{lost} leases were lost");
                Ok(())
            }
            Out::Revokes(list) => bail!("grants were revoked: {:?}", list.revokes.first()),
            Out::Drain(drain) => bail!("the server drains the worker: {:?}", drain.reason()),
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

    fn start(&mut self, list: Starts) -> Result<()> {
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
        if self.execution == Execution::KeepUntilCancelled {
            self.held.extend(list.starts.into_iter().map(|start| (start.run_id, start.fence)));
            self.seen.changed.notify_waiters();
            return Ok(());
        }
        let succeeded = Succeeded { result: Some(succeeded::Result::ResultJson("{\"done\":true}".to_owned())) };
        let outcome = Outcome { outcome: Some(outcome::Outcome::Succeeded(succeeded)) };
        self.report(list.starts.into_iter().map(|start| (start.run_id, start.fence)), &outcome)
    }

    fn cancel(&mut self, list: Cancels) -> Result<()> {
        for cancel in &list.cancels {
            if let Ok(due) = cancel.reason.parse() {
                self.seen.cancel_times.add_since(due);
            }
        }
        let outcome = Outcome { outcome: Some(outcome::Outcome::Cancelled(Cancelled::default())) };
        let cancelled: Vec<_> = list.cancels.into_iter().map(|cancel| (cancel.run_id, cancel.fence)).collect();
        // The server may send a cancel twice.
        let new: Vec<_> = cancelled.into_iter().filter(|grant| self.held.remove(grant)).collect();
        if new.is_empty() { Ok(()) } else { self.report(new.into_iter(), &outcome) }
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
        self.seen.changed.notify_waiters();
        if self.execution == Execution::KeepUntilCancelled {
            return Ok(());
        }
        self.credit += list.results.len() as i64;
        send(&self.sender, In::Credit(Credit { total: self.credit }))
    }
}
