//! Conversions of the frames of Connect.

use std::time::Duration;

use proto::v1;
use proto::v1::ErrorReason;
use proto::v1::connect_request::Frame as In;
use proto::v1::connect_response::Frame as Out;

use crate::edge::convert::event::event_batch;
use crate::edge::convert::time::duration_out;
use crate::edge::convert::{Fields, Path, ToProto, to_protos};
use crate::edge::status;
use crate::services::worker::convert::{outcome, progress_list};
use engine::EngineError;
use engine::domain::event::EventBatch;
use engine::domain::frame::{
    DrainReason, EventRange, Heartbeat, Hello, Parcel, Refused, Rejection, Report, ReportAnswer, Resume, Revoke,
    ServerFrame, Start, Welcome, WorkerFrame,
};
use engine::domain::violation::Violations;
use engine::domain::worker::{WorkerPause, WorkerProfile};
use engine::domain::{GrantKey, Limits, Refusal};

/// The version of the protocol that this server speaks.
const PROTOCOL_VERSION: u32 = 1;
/// The longest pause of a worker.
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// Converts the first frame of a stream. An error ends the stream.
pub fn hello(request: v1::ConnectRequest, limits: &Limits) -> Result<Hello, EngineError> {
    let Some(In::Hello(hello)) = request.frame else {
        return Err(protocol_violation("expected Hello as the first frame, got another"));
    };
    let mut fields = Fields::new(limits);
    let path = Path::Root.field("hello");
    if hello.protocol_version != PROTOCOL_VERSION {
        let why = format!("expected {PROTOCOL_VERSION}, got {}", hello.protocol_version);
        fields.bad(path.field("protocol_version"), why);
    }
    if hello.lanes.is_empty() {
        fields.bad(path.field("lanes"), "expected at least one lane, got none");
    }
    let hello = Hello {
        profile: WorkerProfile {
            name: fields.name(path.field("name"), hello.name),
            lanes: fields.lanes(path.field("lanes"), &hello.lanes),
            kinds: fields.kinds(path.field("kinds"), hello.kinds),
            labels: fields.labels(path.field("labels"), hello.labels),
            version: fields.line(path.field("version"), hello.version, 0, limits.kind),
        },
        resume: hello.resume.map(|resume| resume_in(&mut fields, path.field("resume"), resume)),
    };
    Ok(fields.finish(hello)?)
}

fn resume_in(fields: &mut Fields<'_>, path: Path<'_>, resume: v1::Resume) -> Resume {
    let max = fields.limits.name;
    fields.at_most(path.field("held"), resume.held.len(), fields.limits.held_leases);
    Resume {
        worker_id: fields.id(path.field("worker_id"), &resume.worker_id),
        secret: fields.line(path.field("secret"), resume.secret, 1, max),
        held: fields.grants(path.field("held"), &resume.held),
        sequence: fields.number(path.field("sequence"), resume.sequence, 0, i64::MAX),
    }
}

/// Converts a later frame. An error ends the stream, because such a frame can not be answered.
pub fn worker_frame(request: v1::ConnectRequest, limits: &Limits) -> Result<WorkerFrame, EngineError> {
    let mut fields = Fields::new(limits);
    let frame = match request.frame {
        None => {
            return Err(Violations::one("frame", "expected a frame of protocol version 1, got none").into());
        }
        Some(In::Hello(_)) => return Err(protocol_violation("expected Hello only as the first frame, got another")),
        Some(In::Credit(credit)) => {
            let path = Path::Root.field("credit");
            WorkerFrame::Credit(fields.number(path.field("total"), credit.total, 0, i64::MAX))
        }
        Some(In::Accepts(accepts)) => {
            let path = Path::Root.field("accepts");
            fields.at_most(path.field("leases"), accepts.leases.len(), limits.frame_items);
            WorkerFrame::Accepts(fields.grants(path.field("leases"), &accepts.leases))
        }
        Some(In::Heartbeat(heartbeat)) => {
            let path = Path::Root.field("heartbeat");
            fields.at_most(path.field("leases"), heartbeat.leases.len(), limits.held_leases);
            fields.at_most(path.field("progress"), heartbeat.progress.len(), limits.held_leases);
            WorkerFrame::Heartbeat(Heartbeat {
                grants: fields.grants(path.field("leases"), &heartbeat.leases),
                progress: progress_list(&mut fields, path.field("progress"), heartbeat.progress),
                pause: heartbeat.pause.map(|pause| pause_in(&mut fields, path.field("pause"), pause)),
            })
        }
        Some(In::Events(events)) => WorkerFrame::Events(events_in(&mut fields, Path::Root.field("events"), events)),
        Some(In::Reports(reports)) => {
            let path = Path::Root.field("reports");
            let path = path.field("reports");
            fields.at_most(path, reports.reports.len(), limits.frame_items);
            let reports = reports.reports.into_iter().enumerate();
            WorkerFrame::Reports(
                reports.map(|(index, report)| report_in(&mut fields, path.index(index), report)).collect(),
            )
        }
        Some(In::CancelAcks(acks)) => {
            let path = Path::Root.field("cancel_acks");
            fields.at_most(path.field("leases"), acks.leases.len(), limits.frame_items);
            WorkerFrame::CancelAcks(fields.grants(path.field("leases"), &acks.leases))
        }
        Some(In::Goodbye(goodbye)) => {
            let path = Path::Root.field("goodbye");
            WorkerFrame::Goodbye { reason: fields.prose(path.field("reason"), goodbye.reason, limits.description) }
        }
    };
    Ok(fields.finish(frame)?)
}

fn pause_in(fields: &mut Fields<'_>, path: Path<'_>, pause: v1::WorkerPause) -> WorkerPause {
    let max = fields.limits.description;
    let remaining = fields.required(path.field("remaining"), pause.remaining).unwrap_or_default();
    WorkerPause {
        reason: fields.prose(path.field("reason"), pause.reason, max),
        remaining: fields.duration(path.field("remaining"), remaining, Duration::ZERO, PAUSE_MAX),
    }
}

fn protocol_violation(what: &str) -> EngineError {
    Refusal::ProtocolViolation(what.to_owned()).into()
}

/// If the run of a batch of events can be read, so that the batch can be answered, other violations refuse that batch alone.
fn events_in(
    fields: &mut Fields<'_>,
    path: Path<'_>,
    events: v1::RunEvents,
) -> Result<EventBatch, Refused<EventRange>> {
    let mut own = Fields::new(fields.limits);
    let run_id = fields.id(path.field("run_id"), &events.run_id);
    let grant = GrantKey { run_id, fence: own.fence(path.field("fence"), events.fence) };
    let count = events.entries.len();
    let subject = EventRange {
        grant,
        through_seq: events.first_seq.saturating_add(count as i64).saturating_sub(1),
        count: u32::try_from(count).unwrap_or(u32::MAX),
    };
    let batch = event_batch(&mut own, path, grant, events);
    own.finish(batch).map_err(|violations| Refused { subject, violations })
}

/// If the run of a report can be read, so that the report can be answered, other violations refuse that report alone.
fn report_in(fields: &mut Fields<'_>, path: Path<'_>, report: v1::RunReport) -> Result<Report, Refused<GrantKey>> {
    let mut own = Fields::new(fields.limits);
    let run_id = fields.id(path.field("run_id"), &report.run_id);
    let grant = GrantKey { run_id, fence: own.fence(path.field("fence"), report.fence) };
    let outcome = outcome(&mut own, path.field("outcome"), report.outcome);
    own.finish(Report { grant, outcome }).map_err(|violations| Refused { subject: grant, violations })
}

impl ToProto for ServerFrame {
    type Proto = v1::ConnectResponse;

    fn to_proto(self) -> v1::ConnectResponse {
        let frame = self;
        let frame = match frame {
            ServerFrame::Welcome(welcome) => Out::Welcome(welcome.to_proto()),
            ServerFrame::Assignments(parcels) => {
                let assignments = parcels.iter().filter_map(Parcel::take).map(ToProto::to_proto).collect();
                Out::Assignments(v1::Assignments { assignments })
            }
            ServerFrame::Starts(starts) => Out::Starts(v1::Starts { starts: to_protos(starts) }),
            ServerFrame::Revokes(revokes) => Out::Revokes(v1::Revokes { revokes: to_protos(revokes) }),
            ServerFrame::HeartbeatAck { lost, frozen } => {
                Out::HeartbeatAck(v1::HeartbeatAck { lost: to_protos(lost), frozen })
            }
            ServerFrame::EventsAck { grant, through_seq, credits, rejected } => {
                let (reason, message) = rejection_out(rejected);
                let run_id = grant.run_id.to_string();
                Out::EventsAck(v1::EventsAck { run_id, fence: grant.fence, through_seq, credits, reason, message })
            }
            ServerFrame::ReportAcks(results) => Out::ReportAcks(v1::ReportAcks { results: to_protos(results) }),
            ServerFrame::Cancels(cancels) => Out::Cancels(v1::Cancels { cancels: to_protos(cancels) }),
            ServerFrame::Drain(reason) => Out::Drain(v1::Drain { reason: reason.to_proto().into() }),
        };
        v1::ConnectResponse { frame: Some(frame) }
    }
}

/// The reason and the message of a rejection; both are empty without one.
fn rejection_out(rejected: Option<Rejection>) -> (String, String) {
    let (reason, message) = match rejected {
        None => return Default::default(),
        Some(Rejection::Invalid(message)) => (ErrorReason::InvalidField, message),
        Some(Rejection::Refused(refusal)) => (status::reason(&refusal), refusal.to_string()),
    };
    (status::name(reason).to_owned(), message)
}

impl ToProto for Welcome {
    type Proto = v1::Welcome;

    fn to_proto(self) -> v1::Welcome {
        let welcome = self;
        v1::Welcome {
            worker_id: welcome.worker_id.to_string(),
            secret: welcome.secret,
            stream_epoch: welcome.stream_epoch,
            heartbeat_interval: Some(duration_out(welcome.heartbeat_interval)),
            lease_timeout: Some(duration_out(welcome.lease_timeout)),
            event_credits: welcome.event_credits,
            standing: to_protos(welcome.standing),
            settled: to_protos(welcome.settled),
        }
    }
}

impl ToProto for Start {
    type Proto = v1::Start;

    fn to_proto(self) -> v1::Start {
        let Start { grant, attempt } = self;
        v1::Start { run_id: grant.run_id.to_string(), fence: grant.fence, attempt }
    }
}

impl ToProto for Revoke {
    type Proto = v1::Revoke;

    fn to_proto(self) -> v1::Revoke {
        let Revoke { grant } = self;
        v1::Revoke {
            run_id: grant.run_id.to_string(),
            fence: grant.fence,
            reason: status::name(ErrorReason::LeaseLost).to_owned(),
        }
    }
}

impl ToProto for ReportAnswer {
    type Proto = v1::RunReportResult;

    fn to_proto(self) -> v1::RunReportResult {
        let answer = self;
        let accepted = answer.rejected.is_none();
        let (reason, message) = rejection_out(answer.rejected);
        v1::RunReportResult {
            run_id: answer.grant.run_id.to_string(),
            fence: answer.grant.fence,
            accepted,
            reason,
            message,
        }
    }
}

impl ToProto for DrainReason {
    type Proto = v1::DrainReason;

    fn to_proto(self) -> v1::DrainReason {
        let reason = self;
        match reason {
            DrainReason::Operator => v1::DrainReason::Operator,
            DrainReason::ServerShutdown => v1::DrainReason::ServerShutdown,
        }
    }
}

#[cfg(test)]
mod tests;
