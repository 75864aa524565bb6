//! Conversions of runs.

use std::time::Duration;

use proto::v1;
use uuid::Uuid;

use crate::edge::convert::cancel::cancel;
use crate::edge::convert::event::event_level;
use crate::edge::convert::time::{duration_out, timestamp_out};
use crate::edge::convert::{Fields, Path, ToProto};
use engine::domain::event::EventLevel;
use engine::domain::filter::RunFilter;
use engine::domain::json::Shape;
use engine::domain::page::PageRequest;
use engine::domain::run::{Cancellation, Progress, WaitReason};
use engine::domain::violation::Violations;
use engine::domain::watch::{WatchEvent, WatchRequest};
use engine::domain::{Lane, Limits, Run, RunError, RunRequest, RunSpec, RunStatus, TraceParent};

/// The shortest timeout of an attempt.
const RUN_TIMEOUT_MIN: Duration = Duration::from_millis(1);
/// How long WaitRun waits, when the request names no timeout.
const WAIT_DEFAULT: Duration = Duration::from_secs(30);

/// A request for a new run. The run belongs to the trace that it names, or else to the trace of the call.
fn run_request(fields: &mut Fields<'_>, path: Path<'_>, caller: Option<TraceParent>, spec: v1::RunSpec) -> RunRequest {
    let limits = fields.limits;
    let params = match spec.params {
        None => "{}".to_owned(),
        Some(v1::run_spec::Params::ParamsJson(text)) => {
            fields.json(path.field("params_json"), text, Shape::Object, limits.params, "{}")
        }
        Some(v1::run_spec::Params::ParamsStruct(structure)) => {
            fields.structure(path.field("params_struct"), structure, limits.params)
        }
    };
    let max_attempts = spec.max_attempts.unwrap_or(1);
    fields.number(path.field("max_attempts"), max_attempts.into(), 1, limits.max_attempts.into());
    let run = RunSpec {
        session_id: fields.id(path.field("session_id"), &spec.session_id),
        lane: fields.lane(path.field("lane"), spec.lane),
        priority: spec.priority,
        kind: fields.kind(path.field("kind"), spec.kind),
        params,
        labels: fields.labels(path.field("labels"), spec.labels),
        max_attempts,
        timeout: spec
            .timeout
            .map(|timeout| fields.duration(path.field("timeout"), timeout, RUN_TIMEOUT_MIN, limits.run_timeout)),
        traceparent: fields.traceparent(path.field("traceparent"), &spec.traceparent).or(caller),
    };
    RunRequest {
        spec: run,
        run_after: spec.run_after_time.map(|time| fields.timestamp(path.field("run_after_time"), time)),
        request_id: fields.request_id(path.field("request_id"), spec.request_id),
    }
}

/// EnqueueRun, from a caller with this trace.
pub fn enqueue_run(
    request: v1::EnqueueRunRequest,
    caller: Option<TraceParent>,
    limits: &Limits,
) -> Result<RunRequest, Violations> {
    let Some(spec) = request.run else { return Err(Violations::one("run", "required, and not given")) };
    let mut fields = Fields::new(limits);
    let request = run_request(&mut fields, Path::Root.field("run"), caller, spec);
    fields.finish(request)
}

/// EnqueueRuns, from a caller with this trace.
pub fn enqueue_runs(
    request: v1::EnqueueRunsRequest,
    caller: Option<TraceParent>,
    limits: &Limits,
) -> Result<Vec<RunRequest>, Violations> {
    let mut fields = Fields::new(limits);
    let path = Path::Root.field("runs");
    let count = request.runs.len();
    if count == 0 || count > limits.enqueue_runs {
        return Err(Violations::one("runs", format!("expected 1 to {} runs, got {count}", limits.enqueue_runs)));
    }
    let requests = request
        .runs
        .into_iter()
        .enumerate()
        .map(|(index, run)| run_request(&mut fields, path.index(index), caller, run))
        .collect();
    fields.finish(requests)
}

/// A filter; all runs when not given.
pub fn run_filter(fields: &mut Fields<'_>, path: Path<'_>, filter: Option<v1::RunFilter>) -> RunFilter {
    let Some(filter) = filter else { return RunFilter::default() };
    let statuses = path.field("statuses");
    let statuses = filter
        .statuses
        .iter()
        .enumerate()
        .map(|(index, status)| run_status(fields, statuses.index(index), *status))
        .collect();
    RunFilter {
        session_id: fields.optional_id(path.field("session_id"), &filter.session_id),
        lanes: fields.lanes(path.field("lanes"), &filter.lanes),
        statuses,
        kinds: fields.kinds(path.field("kinds"), filter.kinds),
        labels: fields.labels(path.field("labels"), filter.labels),
    }
}

/// ListRuns.
pub fn list_runs(request: v1::ListRunsRequest, limits: &Limits) -> Result<(RunFilter, PageRequest), Violations> {
    let mut fields = Fields::new(limits);
    let filter = run_filter(&mut fields, Path::Root.field("filter"), request.filter);
    let page = fields.page(Path::Root, request.page_size, request.page_token);
    fields.finish((filter, page))
}

/// CancelRun: the run, the reason and the grace period.
pub fn cancel_run(request: v1::CancelRunRequest, limits: &Limits) -> Result<(Uuid, String, Duration), Violations> {
    let mut fields = Fields::new(limits);
    let id = fields.id(Path::Root.field("run_id"), &request.run_id);
    let (reason, grace) = cancel(&mut fields, request.reason, request.grace);
    fields.finish((id, reason, grace))
}

/// WaitRun: the run and the timeout.
pub fn wait_run(request: v1::WaitRunRequest, limits: &Limits) -> Result<(Uuid, Duration), Violations> {
    let mut fields = Fields::new(limits);
    let id = fields.id(Path::Root.field("run_id"), &request.run_id);
    let path = Path::Root.field("wait_timeout");
    let timeout = fields.duration_or(path, request.wait_timeout, WAIT_DEFAULT, Duration::ZERO, limits.run_wait);
    fields.finish((id, timeout))
}

/// WatchRuns.
pub fn watch_runs(request: v1::WatchRunsRequest, limits: &Limits) -> Result<WatchRequest, Violations> {
    let mut fields = Fields::new(limits);
    let filter = run_filter(&mut fields, Path::Root.field("filter"), request.filter);
    let resume_token = (!request.resume_token.is_empty()).then_some(request.resume_token);
    if resume_token.is_some() && request.include_snapshot {
        fields.bad(Path::Root.field("include_snapshot"), "expected false together with resume_token, got true");
    }
    fields.finish(WatchRequest { filter, resume_token, include_snapshot: request.include_snapshot })
}

fn run_status(fields: &mut Fields<'_>, path: Path<'_>, value: i32) -> RunStatus {
    match v1::RunStatus::try_from(value) {
        Ok(v1::RunStatus::Queued) => return RunStatus::Queued,
        Ok(v1::RunStatus::Claimed) => return RunStatus::Claimed,
        Ok(v1::RunStatus::Running) => return RunStatus::Running,
        Ok(v1::RunStatus::Succeeded) => return RunStatus::Succeeded,
        Ok(v1::RunStatus::Failed) => return RunStatus::Failed,
        Ok(v1::RunStatus::Cancelled) => return RunStatus::Cancelled,
        Ok(v1::RunStatus::Unspecified) => fields.bad(path, "expected a status, got RUN_STATUS_UNSPECIFIED"),
        Err(_) => fields.bad(path, format!("expected a status, got the unknown number {value}")),
    }
    RunStatus::Queued
}

/// ListRunEvents: the run, the lowest level and the page.
pub fn list_run_events(
    request: v1::ListRunEventsRequest,
    limits: &Limits,
) -> Result<(Uuid, EventLevel, PageRequest), Violations> {
    let mut fields = Fields::new(limits);
    let run_id = fields.id(Path::Root.field("run_id"), &request.run_id);
    let level = event_level(&mut fields, Path::Root.field("min_level"), request.min_level);
    let page = fields.page(Path::Root, request.page_size, request.page_token);
    fields.finish((run_id, level.unwrap_or(EventLevel::Debug), page))
}

/// TailRunEvents: the run, the lowest level and the resume token.
pub fn tail_run_events(
    request: v1::TailRunEventsRequest,
    limits: &Limits,
) -> Result<(Uuid, EventLevel, Option<String>), Violations> {
    let mut fields = Fields::new(limits);
    let run_id = fields.id(Path::Root.field("run_id"), &request.run_id);
    let level = event_level(&mut fields, Path::Root.field("min_level"), request.min_level);
    let token = (!request.resume_token.is_empty()).then_some(request.resume_token);
    fields.finish((run_id, level.unwrap_or(EventLevel::Debug), token))
}

impl ToProto for Run {
    type Proto = v1::Run;

    fn to_proto(self) -> v1::Run {
        let run = self;
        // Without `..`, so that a new field of the spec does not compile until the message carries it.
        let RunSpec { session_id, lane, priority, kind, params, labels, max_attempts, timeout, traceparent } = run.spec;
        let mut message = v1::Run {
            id: run.id.to_string(),
            session_id: session_id.to_string(),
            lane: lane.to_proto().into(),
            priority,
            kind,
            params_json: params,
            status: run.status.to_proto().into(),
            wait_reason: wait_reason_out(run.wait_reason).into(),
            attempt: run.attempt,
            max_attempts,
            claimed_by: String::new(),
            worker_id: String::new(),
            fence: run.fence,
            revision: run.revision,
            timeout: timeout.map(duration_out),
            labels,
            progress: run.progress.map(ToProto::to_proto),
            result_json: run.result.unwrap_or_default(),
            error: run.error.map(ToProto::to_proto),
            cancellation: run.cancellation.map(ToProto::to_proto),
            create_time: Some(timestamp_out(run.created_at)),
            update_time: Some(timestamp_out(run.updated_at)),
            run_after_time: Some(timestamp_out(run.run_after)),
            claim_time: None,
            start_time: None,
            finish_time: run.finished_at.map(timestamp_out),
            heartbeat_time: None,
            traceparent: traceparent.map(|parent| parent.to_string()).unwrap_or_default(),
        };
        if let Some(grant) = run.grant {
            message.claimed_by = grant.worker_name;
            message.worker_id = grant.worker_id.to_string();
            message.claim_time = Some(timestamp_out(grant.claimed_at));
            message.start_time = grant.started_at.map(timestamp_out);
            message.heartbeat_time = Some(timestamp_out(grant.heartbeat_at));
        }
        message
    }
}

impl ToProto for Lane {
    type Proto = v1::Lane;

    fn to_proto(self) -> v1::Lane {
        let lane = self;
        match lane {
            Lane::A => v1::Lane::A,
            Lane::B => v1::Lane::B,
            Lane::C => v1::Lane::C,
            Lane::D => v1::Lane::D,
        }
    }
}

impl ToProto for RunStatus {
    type Proto = v1::RunStatus;

    fn to_proto(self) -> v1::RunStatus {
        let status = self;
        match status {
            RunStatus::Queued => v1::RunStatus::Queued,
            RunStatus::Claimed => v1::RunStatus::Claimed,
            RunStatus::Running => v1::RunStatus::Running,
            RunStatus::Succeeded => v1::RunStatus::Succeeded,
            RunStatus::Failed => v1::RunStatus::Failed,
            RunStatus::Cancelled => v1::RunStatus::Cancelled,
        }
    }
}

fn wait_reason_out(reason: Option<WaitReason>) -> v1::WaitReason {
    match reason {
        None => v1::WaitReason::Unspecified,
        Some(WaitReason::Scheduled) => v1::WaitReason::Scheduled,
        Some(WaitReason::Undelivered) => v1::WaitReason::Undelivered,
    }
}

impl ToProto for Progress {
    type Proto = v1::Progress;

    fn to_proto(self) -> v1::Progress {
        let progress = self;
        v1::Progress { fraction: progress.fraction, message: progress.message }
    }
}

impl ToProto for RunError {
    type Proto = v1::RunError;

    fn to_proto(self) -> v1::RunError {
        let error = self;
        v1::RunError { r#type: error.kind, message: error.message, stack: error.stack, context_json: error.context }
    }
}

impl ToProto for Cancellation {
    type Proto = v1::Cancellation;

    fn to_proto(self) -> v1::Cancellation {
        let cancellation = self;
        v1::Cancellation {
            request_time: Some(timestamp_out(cancellation.requested_at)),
            reason: cancellation.reason,
            grace: Some(duration_out(cancellation.grace)),
            confirmed: cancellation.confirmed,
        }
    }
}

impl ToProto for WatchEvent {
    type Proto = v1::WatchRunsResponse;

    fn to_proto(self) -> v1::WatchRunsResponse {
        let event = self;
        use std::sync::Arc;
        use v1::watch_runs_response::Event;
        let event = match event {
            WatchEvent::Snapshot(runs) => Event::Snapshot(v1::RunSnapshot {
                runs: runs.into_iter().map(|run| Arc::unwrap_or_clone(run).to_proto()).collect(),
            }),
            WatchEvent::SnapshotComplete { token } => {
                Event::SnapshotComplete(v1::SnapshotComplete { resume_token: token })
            }
            WatchEvent::Change(run) => Event::Change(v1::RunChange { run: Some(Arc::unwrap_or_clone(run).to_proto()) }),
            WatchEvent::LeftFilter { run_id, revision } => {
                Event::LeftFilter(v1::RunLeftFilter { run_id: run_id.to_string(), revision })
            }
            WatchEvent::Deleted { run_id } => Event::Deleted(v1::RunDeleted { run_id: run_id.to_string() }),
            WatchEvent::Bookmark { token } => Event::Bookmark(v1::Bookmark { resume_token: token }),
            WatchEvent::Goodbye { token } => Event::Goodbye(v1::WatchGoodbye {
                reason: v1::WatchGoodbyeReason::ShuttingDown.into(),
                resume_token: token.unwrap_or_default(),
            }),
        };
        v1::WatchRunsResponse { event: Some(event) }
    }
}

#[cfg(test)]
mod tests;
