//! Conversions of workers, and of their unary calls.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::v1;
use uuid::Uuid;

use crate::edge::convert::event::event_batch;
use crate::edge::convert::time::{duration_out, timestamp_out};
use crate::edge::convert::{Fields, Path, ToProto};
use engine::domain::event::EventBatch;
use engine::domain::frame::{Assignment, Heartbeat, Report};
use engine::domain::json::Shape;
use engine::domain::page::PageRequest;
use engine::domain::run::Progress;
use engine::domain::violation::Violations;
use engine::domain::worker::{ClaimRequest, Order, Worker, WorkerMode, WorkerState};
use engine::domain::{GrantKey, Lane, Limits, Outcome, RunError};

/// The shortest lease that a worker may ask for in Claim.
const LEASE_TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// Claim.
pub fn claim(request: v1::ClaimRequest, limits: &Limits) -> Result<ClaimRequest, Violations> {
    let mut fields = Fields::new(limits);
    let lanes = fields.lanes(Path::Root.field("lanes"), &request.lanes);
    let max = i64::try_from(limits.frame_items).unwrap_or(i64::MAX);
    fields.number(Path::Root.field("max_runs"), request.max_runs.into(), 0, max);
    let wait = Path::Root.field("wait");
    let lease_timeout = Path::Root.field("lease_timeout");
    let claim = ClaimRequest {
        worker_name: fields.name(Path::Root.field("worker_name"), request.worker_name),
        lanes: if lanes.is_empty() { Lane::ALL.into() } else { lanes },
        kinds: fields.kinds(Path::Root.field("kinds"), request.kinds),
        max_runs: request.max_runs.max(1),
        wait: fields.duration_or(wait, request.wait, Duration::ZERO, Duration::ZERO, limits.claim_wait),
        lease_timeout: request
            .lease_timeout
            .map(|timeout| fields.duration(lease_timeout, timeout, LEASE_TIMEOUT_MIN, limits.lease_timeout)),
        request_id: fields.request_id(Path::Root.field("request_id"), request.request_id),
    };
    fields.finish(claim)
}

/// Heartbeat.
pub fn heartbeat(request: v1::HeartbeatRequest, limits: &Limits) -> Result<(Uuid, Heartbeat), Violations> {
    let mut fields = Fields::new(limits);
    let worker_id = fields.id(Path::Root.field("worker_id"), &request.worker_id);
    fields.at_most(Path::Root.field("leases"), request.leases.len(), limits.frame_items);
    fields.at_most(Path::Root.field("progress"), request.progress.len(), limits.frame_items);
    let heartbeat = Heartbeat {
        grants: fields.grants(Path::Root.field("leases"), &request.leases),
        progress: progress_list(&mut fields, Path::Root.field("progress"), request.progress),
        // A worker without a stream takes no runs by not asking for any.
        pause: None,
    };
    fields.finish((worker_id, heartbeat))
}

/// ReportRun.
pub fn report_run(request: v1::ReportRunRequest, limits: &Limits) -> Result<(Uuid, Report), Violations> {
    let mut fields = Fields::new(limits);
    let worker_id = fields.id(Path::Root.field("worker_id"), &request.worker_id);
    let path = Path::Root.field("report");
    let report = fields.required(path, request.report).unwrap_or_default();
    let grant = fields.grant(path, &report.run_id, report.fence);
    let outcome = outcome(&mut fields, path.field("outcome"), report.outcome);
    fields.finish((worker_id, Report { grant, outcome }))
}

/// AppendRunEvents.
pub fn append_run_events(
    request: v1::AppendRunEventsRequest,
    limits: &Limits,
) -> Result<(Uuid, EventBatch), Violations> {
    let mut fields = Fields::new(limits);
    let worker_id = fields.id(Path::Root.field("worker_id"), &request.worker_id);
    let path = Path::Root.field("events");
    let events = fields.required(path, request.events).unwrap_or_default();
    let grant = fields.grant(path, &events.run_id, events.fence);
    let batch = event_batch(&mut fields, path, grant, events);
    fields.finish((worker_id, batch))
}

/// ListWorkers: the states, and the page.
pub fn list_workers(
    request: v1::ListWorkersRequest,
    limits: &Limits,
) -> Result<(Vec<WorkerState>, PageRequest), Violations> {
    let mut fields = Fields::new(limits);
    let path = Path::Root.field("states");
    let states = request
        .states
        .iter()
        .enumerate()
        .map(|(index, state)| worker_state(&mut fields, path.index(index), *state))
        .collect();
    let page = fields.page(Path::Root, request.page_size, request.page_token);
    fields.finish((states, page))
}

/// The progress of runs. Of several entries for one grant, the last one counts.
pub fn progress_list(fields: &mut Fields<'_>, path: Path<'_>, list: Vec<v1::RunProgress>) -> Vec<(GrantKey, Progress)> {
    let mut last = BTreeMap::new();
    for (index, entry) in list.into_iter().enumerate() {
        let path = path.index(index);
        let grant = fields.grant(path, &entry.run_id, entry.fence);
        last.insert(grant, progress(fields, path.field("progress"), entry.progress));
    }
    last.into_iter().collect()
}

/// The outcome of a grant.
pub fn outcome(fields: &mut Fields<'_>, path: Path<'_>, outcome: Option<v1::Outcome>) -> Outcome {
    let limits = fields.limits;
    let Some(outcome) = outcome.and_then(|outcome| outcome.outcome) else {
        fields.bad(path, "expected succeeded, failed, cancelled or snoozed, got none of them");
        return Outcome::Cancelled { error: None };
    };
    match outcome {
        v1::outcome::Outcome::Succeeded(succeeded) => {
            let path = path.field("succeeded");
            let result = match succeeded.result {
                None => "null".to_owned(),
                Some(v1::succeeded::Result::ResultJson(text)) => {
                    fields.json(path.field("result_json"), text, Shape::Any, limits.result, "null")
                }
                Some(v1::succeeded::Result::ResultStruct(structure)) => {
                    fields.structure(path.field("result_struct"), structure, limits.result)
                }
            };
            Outcome::Succeeded { result }
        }
        v1::outcome::Outcome::Failed(failed) => {
            let path = path.field("failed");
            match fields.required(path.field("error"), failed.error) {
                Some(error) => Outcome::Failed {
                    error: run_error(fields, path.field("error"), error),
                    permanent: failed.permanent,
                },
                None => Outcome::Cancelled { error: None },
            }
        }
        v1::outcome::Outcome::Cancelled(cancelled) => {
            let path = path.field("cancelled");
            Outcome::Cancelled { error: cancelled.error.map(|error| run_error(fields, path.field("error"), error)) }
        }
        v1::outcome::Outcome::Snoozed(snoozed) => {
            let path = path.field("snoozed");
            let delay = fields.required(path.field("delay"), snoozed.delay).unwrap_or_default();
            Outcome::Snoozed { delay: fields.duration(path.field("delay"), delay, Duration::ZERO, limits.run_timeout) }
        }
    }
}

fn worker_state(fields: &mut Fields<'_>, path: Path<'_>, value: i32) -> WorkerState {
    match v1::WorkerState::try_from(value) {
        Ok(v1::WorkerState::Active) => return WorkerState::Active,
        Ok(v1::WorkerState::Draining) => return WorkerState::Draining,
        Ok(v1::WorkerState::Disconnected) => return WorkerState::Disconnected,
        Ok(v1::WorkerState::Lost) => return WorkerState::Lost,
        Ok(v1::WorkerState::Gone) => return WorkerState::Gone,
        Ok(v1::WorkerState::Unspecified) => fields.bad(path, "expected a state, got WORKER_STATE_UNSPECIFIED"),
        Err(_) => fields.bad(path, format!("expected a state, got the unknown number {value}")),
    }
    WorkerState::Active
}

/// The progress of a run.
pub fn progress(fields: &mut Fields<'_>, path: Path<'_>, progress: Option<v1::Progress>) -> Progress {
    let max = fields.limits.description;
    let progress = fields.required(path, progress).unwrap_or_default();
    if !(0.0..=1.0).contains(&progress.fraction) {
        fields.bad(path.field("fraction"), format!("expected 0 to 1, got {}", progress.fraction));
    }
    Progress { fraction: progress.fraction, message: fields.prose(path.field("message"), progress.message, max) }
}

/// The error with which a run failed.
pub fn run_error(fields: &mut Fields<'_>, path: Path<'_>, error: v1::RunError) -> RunError {
    let limits = fields.limits;
    RunError {
        kind: fields.name(path.field("type"), error.r#type),
        message: fields.bytes(path.field("message"), error.message, limits.error_message),
        stack: fields.bytes(path.field("stack"), error.stack, limits.error_stack),
        context: fields
            .optional_object(path.field("context_json"), error.context_json, limits.error_context)
            .unwrap_or_default(),
    }
}

impl ToProto for WorkerState {
    type Proto = v1::WorkerState;

    fn to_proto(self) -> v1::WorkerState {
        let state = self;
        match state {
            WorkerState::Active => v1::WorkerState::Active,
            WorkerState::Draining => v1::WorkerState::Draining,
            WorkerState::Disconnected => v1::WorkerState::Disconnected,
            WorkerState::Lost => v1::WorkerState::Lost,
            WorkerState::Gone => v1::WorkerState::Gone,
        }
    }
}

impl ToProto for WorkerMode {
    type Proto = v1::WorkerMode;

    fn to_proto(self) -> v1::WorkerMode {
        let mode = self;
        match mode {
            WorkerMode::Stream => v1::WorkerMode::Stream,
            WorkerMode::Unary => v1::WorkerMode::Unary,
        }
    }
}

impl ToProto for Worker {
    type Proto = v1::Worker;

    fn to_proto(self) -> v1::Worker {
        let worker = self;
        let (pause_reason, paused_until) = worker.pause.unzip();
        v1::Worker {
            id: worker.id.to_string(),
            name: worker.name,
            state: worker.state.to_proto().into(),
            mode: worker.mode.to_proto().into(),
            lanes: worker.lanes.into_iter().map(|lane| lane.to_proto().into()).collect(),
            kinds: worker.kinds,
            labels: worker.labels,
            version: worker.version,
            held_runs: worker.held_runs,
            create_time: Some(timestamp_out(worker.created_at)),
            heartbeat_time: Some(timestamp_out(worker.heartbeat_at)),
            pause_reason: pause_reason.unwrap_or_default(),
            pause_end_time: paused_until.map(timestamp_out),
        }
    }
}

impl ToProto for GrantKey {
    type Proto = v1::Lease;

    fn to_proto(self) -> v1::Lease {
        let grant = self;
        v1::Lease { run_id: grant.run_id.to_string(), fence: grant.fence }
    }
}

impl ToProto for Assignment {
    type Proto = v1::Assignment;

    fn to_proto(self) -> v1::Assignment {
        let Assignment { run } = self;
        let run = run.to_proto();
        v1::Assignment { fence: run.fence, timeout: run.timeout, traceparent: run.traceparent.clone(), run: Some(run) }
    }
}

impl ToProto for Order {
    type Proto = v1::RunCancel;

    fn to_proto(self) -> v1::RunCancel {
        let order = self;
        v1::RunCancel {
            run_id: order.grant.run_id.to_string(),
            fence: order.grant.fence,
            reason: order.reason,
            grace: Some(duration_out(order.grace)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_a_fraction() {
        for fraction in [f64::NAN, -0.1, 1.1, f64::INFINITY] {
            let limits = Limits::default();
            let mut fields = Fields::new(&limits);
            progress(
                &mut fields,
                Path::Root.field("progress"),
                Some(v1::Progress { fraction, message: String::new() }),
            );
            assert!(fields.finish(()).is_err(), "{fraction}");
        }
    }
}
