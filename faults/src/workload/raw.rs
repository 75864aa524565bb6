//! A worker that misbehaves on purpose: it speaks the protocol itself, and reports late, twice, or a different outcome,
//! to record the server's answers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use proto::v1::connect_request::Frame as In;
use proto::v1::connect_response::Frame as Out;
use proto::v1::{
    Accepts, Assignment, ConnectRequest, ConnectResponse, Credit, Failed, Goodbye, Hello, Lane, Lease, Outcome,
    Reports, RunError, RunReport, RunReportResult, Start, Succeeded, WorkerHeartbeat, outcome, succeeded,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use uuid::Uuid;

use super::{Caller, KIND};
use crate::history::{self, FaultClass, Recorder, Verdict, What};

const NAME: &str = "raw";
/// The runs that it holds at a time.
const SLOTS: usize = 3;
/// The most frames that wait to be sent. More are lost.
const FRAMES: usize = 64;
/// The interval of heartbeats. Due reports are sent with them.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);
/// How long a late run is silent: longer than a lease and the time to give the run to another worker.
const LATE: Duration = Duration::from_secs(7);
/// The pause before it connects again.
const AGAIN: Duration = Duration::from_millis(700);

/// The worker, over all its streams.
#[derive(Debug)]
pub struct RawWorker {
    folder: PathBuf,
    caller: Caller,
    rng: StdRng,
    number: u64,
}

/// One stream, from Hello to its end. Each has a history of its own.
struct Connection {
    actor: String,
    recorder: Recorder,
    sender: mpsc::Sender<ConnectRequest>,
    /// The key of each run that is assigned and not started.
    assigned: BTreeMap<Uuid, String>,
    held: Vec<Held>,
    /// The unanswered report of each grant: its token, and what follows the answer.
    reported: BTreeMap<(Uuid, i64), (String, Behaviour)>,
    credit: i64,
}

/// A grant that it executes.
struct Held {
    run: Uuid,
    fence: i64,
    due: Instant,
    behaviour: Behaviour,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    Good,
    /// Sends no heartbeat for the grant until its lease is over, and then reports it.
    Late,
    /// Reports, and then repeats the report.
    Twice,
    /// Reports, and then another outcome.
    Otherwise,
}

impl RawWorker {
    pub fn new(folder: PathBuf, caller: Caller, seed: u64) -> Self {
        Self { folder, caller, rng: StdRng::seed_from_u64(seed), number: 0 }
    }

    /// Opens one stream after the other until `stop`.
    ///
    /// # Errors
    ///
    /// A history can not be written.
    pub async fn run(mut self, stop: CancellationToken) -> Result<()> {
        while !stop.is_cancelled() {
            let (sender, frames) = mpsc::channel(FRAMES);
            self.number += 1;
            let actor = format!("{NAME}-{}", self.number);
            let hello = Hello {
                protocol_version: 1,
                name: actor.clone(),
                lanes: [Lane::A, Lane::B, Lane::C, Lane::D].map(i32::from).to_vec(),
                kinds: vec![KIND.to_owned()],
                ..Hello::default()
            };
            send(&sender, In::Hello(hello));
            let mut calls = self.caller.workers();
            match self.caller.call(calls.connect(ReceiverStream::new(frames))).await {
                Ok(stream) => {
                    let recorder = Recorder::create(&self.folder, &actor)?;
                    let (assigned, held, reported) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
                    let credit = i64::try_from(SLOTS)?;
                    let connection = Connection { actor, recorder, sender, assigned, held, reported, credit };
                    connection.run(stream, &mut self.rng, &stop).await?;
                    self.caller.next_server();
                }
                Err(_refused) => {}
            }
            sleep(AGAIN).await;
        }
        Ok(())
    }
}

impl Connection {
    async fn run(
        mut self,
        mut stream: Streaming<ConnectResponse>,
        rng: &mut StdRng,
        stop: &CancellationToken,
    ) -> Result<()> {
        self.recorder.record(What::WorkerBegan { worker: self.actor.clone(), process: std::process::id() })?;
        send(&self.sender, In::Credit(Credit { total: self.credit }));
        let mut heartbeats = interval(HEARTBEAT_INTERVAL);
        heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = stream.message() => match frame(message) {
                    Some(frame) => self.receive(frame, rng)?,
                    None => break,
                },
                _ = heartbeats.tick() => self.heartbeat()?,
                () = stop.cancelled() => {
                    send(&self.sender, In::Goodbye(Goodbye { reason: "the lab ends".to_owned() }));
                    break;
                }
            }
        }
        for _late in self.held.iter().filter(|held| held.behaviour == Behaviour::Late) {
            self.late_run_is_over()?;
        }
        Ok(())
    }

    fn receive(&mut self, frame: Out, rng: &mut StdRng) -> Result<()> {
        match frame {
            Out::Assignments(list) => list.assignments.iter().try_for_each(|it| self.accept(it)),
            Out::Starts(list) => list.starts.iter().try_for_each(|start| self.start(start, rng)),
            Out::Revokes(list) => {
                for revoke in list.revokes {
                    // The worker still reports a run that it has started.
                    if let Ok(run) = Uuid::parse_str(&revoke.run_id)
                        && self.assigned.remove(&run).is_some()
                    {
                        self.make_room();
                    }
                }
                Ok(())
            }
            Out::ReportAcks(list) => list.results.iter().try_for_each(|result| self.answered(result)),
            Out::Welcome(_) | Out::HeartbeatAck(_) | Out::EventsAck(_) | Out::Cancels(_) | Out::Drain(_) => Ok(()),
        }
    }

    fn accept(&mut self, assignment: &Assignment) -> Result<()> {
        let run = assignment.run.clone().unwrap_or_default();
        let (run_id, fence) = (run.id, assignment.fence);
        self.assigned.insert(Uuid::parse_str(&run_id)?, run.labels.get("key").cloned().unwrap_or_default());
        send(&self.sender, In::Accepts(Accepts { leases: vec![Lease { run_id, fence }] }));
        Ok(())
    }

    fn start(&mut self, start: &Start, rng: &mut StdRng) -> Result<()> {
        let (run, fence, attempt) = (Uuid::parse_str(&start.run_id)?, start.fence, start.attempt);
        let Some(key) = self.assigned.remove(&run) else { return Ok(()) };
        self.recorder.record(What::ExecutionBegan { run, fence, attempt, key })?;
        let behaviour = match rng.random_range(0..10) {
            0..4 => Behaviour::Good,
            4..6 => Behaviour::Late,
            6..8 => Behaviour::Twice,
            _ => Behaviour::Otherwise,
        };
        let due = Instant::now()
            + if behaviour == Behaviour::Late { LATE } else { rng.random_range(Duration::ZERO..HEARTBEAT_INTERVAL) };
        if behaviour == Behaviour::Late {
            // Another worker may execute the run at the same time, which this fault explains.
            let (target, detail) = (self.actor.clone(), format!("it says nothing of run {run} for {LATE:?}"));
            self.recorder.record(What::FaultBegan { fault: FaultClass::WorkerStopped, target, detail })?;
        }
        self.held.push(Held { run, fence, due, behaviour });
        Ok(())
    }

    /// Sends a heartbeat, and the reports that are due.
    fn heartbeat(&mut self) -> Result<()> {
        let now = Instant::now();
        let (due, held): (Vec<_>, Vec<_>) = std::mem::take(&mut self.held).into_iter().partition(|it| it.due <= now);
        self.held = held;
        let named = self.held.iter().filter(|held| held.behaviour != Behaviour::Late);
        let leases = named.map(|held| Lease { run_id: held.run.to_string(), fence: held.fence }).collect();
        send(&self.sender, In::Heartbeat(WorkerHeartbeat { leases, progress: Vec::new(), pause: None }));
        for Held { run, fence, behaviour, .. } in due {
            let token = format!("{}/{run}/{fence}", self.actor);
            let outcome = history::Outcome::Succeeded;
            self.recorder.record(What::ExecutionEnded { run, fence, token: token.clone(), outcome })?;
            if behaviour == Behaviour::Late {
                self.late_run_is_over()?;
            }
            let outcome = succeeded(&token);
            self.report((run, fence), token, outcome, behaviour);
            self.make_room();
        }
        Ok(())
    }

    fn report(&mut self, grant: (Uuid, i64), token: String, outcome: Outcome, behaviour: Behaviour) {
        self.reported.insert(grant, (token, behaviour));
        let report = RunReport { run_id: grant.0.to_string(), fence: grant.1, outcome: Some(outcome) };
        send(&self.sender, In::Reports(Reports { reports: vec![report] }));
    }

    fn answered(&mut self, result: &RunReportResult) -> Result<()> {
        let (run, fence) = (Uuid::parse_str(&result.run_id)?, result.fence);
        let Some((token, behaviour)) = self.reported.remove(&(run, fence)) else { return Ok(()) };
        let verdict = match (result.accepted, result.reason.as_str()) {
            (true, _) => Verdict::Accepted,
            (false, "LEASE_LOST") => Verdict::LeaseLost,
            (false, "OUTCOME_CONFLICT") => Verdict::Conflict,
            (false, reason) => Verdict::Refused(reason.to_owned()),
        };
        self.recorder.record(What::ReportAnswered { run, fence, token: token.clone(), verdict })?;
        match behaviour {
            Behaviour::Good | Behaviour::Late => {}
            Behaviour::Twice => {
                let outcome = succeeded(&token);
                self.report((run, fence), token, outcome, Behaviour::Good);
            }
            Behaviour::Otherwise => {
                let (token, outcome) = (format!("{token}/otherwise"), history::Outcome::Failed);
                self.recorder.record(What::ExecutionEnded { run, fence, token: token.clone(), outcome })?;
                let outcome = failed(&token);
                self.report((run, fence), token, outcome, Behaviour::Good);
            }
        }
        Ok(())
    }

    /// The fault of one late run is over.
    fn late_run_is_over(&self) -> Result<()> {
        Ok(self.recorder.record(What::FaultEnded { fault: FaultClass::WorkerStopped, target: self.actor.clone() })?)
    }

    fn make_room(&mut self) {
        self.credit += 1;
        send(&self.sender, In::Credit(Credit { total: self.credit }));
    }
}

/// A success whose result names the execution.
pub(super) fn succeeded(token: &str) -> Outcome {
    let result = succeeded::Result::ResultJson(serde_json::json!({ "token": token }).to_string());
    Outcome { outcome: Some(outcome::Outcome::Succeeded(Succeeded { result: Some(result) })) }
}

fn failed(token: &str) -> Outcome {
    let context_json = serde_json::json!({ "token": token }).to_string();
    let error = RunError { r#type: "Otherwise".to_owned(), context_json, ..RunError::default() };
    Outcome { outcome: Some(outcome::Outcome::Failed(Failed { error: Some(error), permanent: true })) }
}

/// Sends a frame. One that does not fit is lost, as at the end of a stream.
fn send(sender: &mpsc::Sender<ConnectRequest>, frame: In) {
    let _lost = sender.try_send(ConnectRequest { frame: Some(frame) });
}

fn frame(message: Result<Option<ConnectResponse>, Status>) -> Option<Out> {
    message.ok().flatten().and_then(|message| message.frame)
}
