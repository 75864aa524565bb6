//! A scripted worker: it sends what the test wants.

use std::collections::VecDeque;

use proto::v1::connect_request::Frame as In;
use proto::v1::connect_response::Frame as Out;
use proto::v1::*;
use tonic::Status;

use super::{Server, Wire};

#[derive(Debug)]
/// A stream after its Welcome. Dropping it loses the stream.
pub struct Stream {
    pub welcome: Welcome,
    wire: Wire,
    /// Frames that have arrived and were not taken yet, lists split into single entries.
    waiting: VecDeque<Out>,
}

/// A worker of lane A that takes any kind.
pub fn hello(name: &str) -> Hello {
    Hello { protocol_version: 1, name: name.into(), lanes: vec![Lane::A.into()], ..Default::default() }
}

/// A Hello of the same worker, which still holds these grants.
pub fn resume(welcome: &Welcome, held: &[Lease]) -> Hello {
    let resume = Resume {
        worker_id: welcome.worker_id.clone(),
        secret: welcome.secret.clone(),
        held: held.to_vec(),
        ..Default::default()
    };
    Hello { resume: Some(resume), ..hello("resumed") }
}

impl Stream {
    /// A new worker of lane A, without credit yet.
    pub async fn open(server: &Server) -> Self {
        Self::open_with(server, hello("by-hand")).await
    }

    /// Opens a stream with this Hello.
    pub async fn open_with(server: &Server, hello: Hello) -> Self {
        Self::try_open_with(server, hello).await.expect("the server welcomes it")
    }

    /// As `open_with`, but returns the refusal.
    pub async fn try_open_with(server: &Server, hello: Hello) -> Result<Self, Status> {
        let mut wire = Wire::open(server).await;
        wire.send(In::Hello(hello));
        match wire.next().await? {
            Some(Out::Welcome(welcome)) => Ok(Self { welcome, wire, waiting: VecDeque::new() }),
            other => panic!("expected Welcome first, got {other:?}"),
        }
    }

    pub fn send(&self, frame: In) {
        self.wire.send(frame);
    }

    pub fn credit(&self, total: i64) {
        self.send(In::Credit(Credit { total }));
    }

    pub fn accept(&self, leases: &[Lease]) {
        self.send(In::Accepts(Accepts { leases: leases.to_vec() }));
    }

    pub fn report(&self, lease: &Lease, outcome: Outcome) {
        let report = RunReport { run_id: lease.run_id.clone(), fence: lease.fence, outcome: Some(outcome) };
        self.send(In::Reports(Reports { reports: vec![report] }));
    }

    /// Sends lines of a run's log.
    pub fn log(&self, lease: &Lease, first_seq: i64, lines: &[String]) {
        let entry = |line: &String| EventEntry {
            content: Some(event_entry::Content::Text(line.clone())),
            ..Default::default()
        };
        let entries = lines.iter().map(entry).collect();
        self.send(In::Events(RunEvents { run_id: lease.run_id.clone(), fence: lease.fence, first_seq, entries }));
    }

    pub fn beat(&self, leases: &[Lease]) {
        self.send(In::Heartbeat(WorkerHeartbeat { leases: leases.to_vec(), progress: Vec::new(), pause: None }));
    }

    /// Sends a heartbeat for these grants, and waits for the answer.
    pub async fn heartbeat(&mut self, leases: &[Lease]) -> HeartbeatAck {
        self.beat(leases);
        self.heartbeat_ack().await
    }

    pub async fn heartbeat_ack(&mut self) -> HeartbeatAck {
        self.take("a HeartbeatAck", |frame| match frame {
            Out::HeartbeatAck(ack) => Some(ack.clone()),
            _ => None,
        })
        .await
    }

    /// The next run that is assigned to this worker.
    pub async fn assignment(&mut self) -> Assignment {
        self.take("an Assignment", |frame| match frame {
            Out::Assignments(list) => Some(list.assignments[0].clone()),
            _ => None,
        })
        .await
    }

    /// The next run that is assigned to this worker, and its grant.
    pub async fn assigned(&mut self) -> (Run, Lease) {
        let assignment = self.assignment().await;
        let run = assignment.run.expect("an assignment names its run");
        let lease = Lease { run_id: run.id.clone(), fence: assignment.fence };
        (run, lease)
    }

    pub async fn start(&mut self) -> Start {
        self.take("a Start", |frame| match frame {
            Out::Starts(list) => Some(list.starts[0].clone()),
            _ => None,
        })
        .await
    }

    /// Accepts the next run, and waits for its start.
    pub async fn begin(&mut self) -> Lease {
        let (_, lease) = self.assigned().await;
        self.accept(std::slice::from_ref(&lease));
        let start = self.start().await;
        assert_eq!((&start.run_id, start.fence), (&lease.run_id, lease.fence));
        lease
    }

    /// The start of a grant; none if it was revoked.
    pub async fn start_or_revoke(&mut self, lease: &Lease) -> Option<Start> {
        self.take("a Start or a Revoke", |frame| match frame {
            Out::Starts(list) if list.starts[0].run_id == lease.run_id => Some(Some(list.starts[0].clone())),
            Out::Revokes(list) if list.revokes[0].run_id == lease.run_id => Some(None),
            _ => None,
        })
        .await
    }

    pub async fn revoke(&mut self) -> Lease {
        self.take("a Revoke", |frame| match frame {
            Out::Revokes(list) => {
                let Revoke { run_id, fence, .. } = list.revokes[0].clone();
                Some(Lease { run_id, fence })
            }
            _ => None,
        })
        .await
    }

    pub async fn cancel(&mut self) -> RunCancel {
        self.take("a Cancel", |frame| match frame {
            Out::Cancels(list) => Some(list.cancels[0].clone()),
            _ => None,
        })
        .await
    }

    pub async fn report_ack(&mut self) -> RunReportResult {
        self.take("a ReportAck", |frame| match frame {
            Out::ReportAcks(list) => Some(list.results[0].clone()),
            _ => None,
        })
        .await
    }

    /// Reports an outcome and waits for the answer: empty if it was accepted, else the reason.
    pub async fn finish(&mut self, lease: &Lease, outcome: Outcome) -> String {
        self.report(lease, outcome);
        let ack = self.report_ack().await;
        assert_eq!((&ack.run_id, ack.fence), (&lease.run_id, lease.fence));
        assert_eq!(ack.accepted, ack.reason.is_empty(), "{ack:?}");
        ack.reason
    }

    /// The next frame.
    pub async fn answer(&mut self) -> Out {
        self.take("a frame", |frame| Some(frame.clone())).await
    }

    pub async fn events_ack(&mut self) -> EventsAck {
        self.take("an EventsAck", |frame| match frame {
            Out::EventsAck(ack) => Some(ack.clone()),
            _ => None,
        })
        .await
    }

    pub async fn drain(&mut self) -> DrainReason {
        self.take("a Drain", |frame| match frame {
            Out::Drain(drain) => Some(drain.reason()),
            _ => None,
        })
        .await
    }

    pub fn half_close(&mut self) {
        self.wire.half_close();
    }

    /// Reads until the server ends the stream. Returns the error; none if it ended well.
    pub async fn end(&mut self) -> Option<Status> {
        self.wire.end().await
    }

    /// All frames that have come so far and were not taken: those that the server sent before it answered a heartbeat.
    pub async fn rest(&mut self) -> Vec<Out> {
        self.heartbeat(&[]).await;
        self.waiting.drain(..).collect()
    }

    /// The next frame of this kind, or none if the server ends the stream before.
    pub async fn next_unless_ended<T>(&mut self, pick: impl Fn(Out) -> Option<T>) -> Option<T> {
        loop {
            let frame = self.wire.next().await.ok().flatten()?;
            if let Some(picked) = pick(frame) {
                return Some(picked);
            }
        }
    }

    async fn take<T>(&mut self, what: &str, pick: impl Fn(&Out) -> Option<T>) -> T {
        let mut looked = 0;
        loop {
            for place in looked..self.waiting.len() {
                if let Some(picked) = pick(&self.waiting[place]) {
                    self.waiting.remove(place);
                    return picked;
                }
            }
            looked = self.waiting.len();
            match self.wire.next().await {
                Ok(Some(frame)) => self.waiting.extend(apart(frame)),
                other => panic!("expected {what}, but the stream has ended: {other:?}"),
            }
        }
    }
}

/// Splits a frame with a list into frames with one entry each.
fn apart(frame: Out) -> Vec<Out> {
    match frame {
        Out::Assignments(list) => {
            list.assignments.into_iter().map(|one| Out::Assignments(Assignments { assignments: vec![one] })).collect()
        }
        Out::Starts(list) => list.starts.into_iter().map(|one| Out::Starts(Starts { starts: vec![one] })).collect(),
        Out::Revokes(list) => {
            list.revokes.into_iter().map(|one| Out::Revokes(Revokes { revokes: vec![one] })).collect()
        }
        Out::Cancels(list) => {
            list.cancels.into_iter().map(|one| Out::Cancels(Cancels { cancels: vec![one] })).collect()
        }
        Out::ReportAcks(list) => {
            list.results.into_iter().map(|one| Out::ReportAcks(ReportAcks { results: vec![one] })).collect()
        }
        other => vec![other],
    }
}
