//! Conversions between the messages of the contract and the worker's own types.

use std::time::Duration;

use proto::v1;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    api::{
        config::Lane,
        failure::Failure,
        log_entry::{Content, Level, LogEntry},
        run_info::RunInfo,
        text,
    },
    grant::{capacity::Pause, key::GrantKey, outcome::Outcome, progress::Progress},
    log::queue::Batch,
};

/// The bound of the reason of a pause; the contract takes 4,000 characters.
const MAX_PAUSE_BYTES: usize = 4_000;

/// The name of a grant, if the id is a UUID.
pub(crate) fn grant_key(run_id: &str, fence: i64) -> Option<GrantKey> {
    Uuid::try_parse(run_id).ok().map(|run_id| GrantKey { run_id, fence })
}

pub(crate) fn grant_keys(leases: &[v1::Lease]) -> Vec<GrantKey> {
    leases.iter().filter_map(|lease| grant_key(&lease.run_id, lease.fence)).collect()
}

pub(crate) fn leases(keys: &[GrantKey]) -> Vec<v1::Lease> {
    keys.iter().map(|key| v1::Lease { run_id: key.run_id.to_string(), fence: key.fence }).collect()
}

/// The duration, if it is set and not negative.
pub(crate) fn duration(duration: Option<prost_types::Duration>) -> Option<Duration> {
    duration.and_then(|duration| Duration::try_from(duration).ok())
}

/// The run of an assignment, and the error of its params if they are not JSON.
pub(crate) fn run_info(run: v1::Run, timeout: Option<Duration>, traceparent: String) -> (RunInfo, Option<String>) {
    let (params, invalid) = match serde_json::from_str(&run.params_json) {
        Ok(params) => (params, None),
        Err(error) => (serde_json::Value::Null, Some(format!("params: expected JSON, got {error}"))),
    };
    let info = RunInfo {
        run_id: run.id,
        session_id: run.session_id,
        kind: run.kind,
        params,
        labels: run.labels,
        attempt: run.attempt,
        max_attempts: run.max_attempts,
        timeout,
        traceparent: Some(traceparent).filter(|parent| is_traceparent(parent)),
    };
    (info, invalid)
}

/// Whether a text is a W3C `traceparent`. Handlers put it into environments and headers, so nothing else may pass.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let is_hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    parts.iter().map(|part| part.len()).eq([2, 32, 16, 2]) && parts.iter().all(|part| is_hex(part))
}

pub(crate) fn lane(lane: Lane) -> i32 {
    let lane = match lane {
        Lane::A => v1::Lane::A,
        Lane::B => v1::Lane::B,
        Lane::C => v1::Lane::C,
        Lane::D => v1::Lane::D,
    };
    lane.into()
}

pub(crate) fn run_progress(key: GrantKey, progress: Progress) -> v1::RunProgress {
    let Progress { fraction, message } = progress;
    v1::RunProgress {
        run_id: key.run_id.to_string(),
        fence: key.fence,
        progress: Some(v1::Progress { fraction, message }),
    }
}

pub(crate) fn worker_pause(pause: &Pause, now: Instant) -> v1::WorkerPause {
    let remaining = pause.until.saturating_duration_since(now);
    // A minute at most, so the conversion can not fail.
    v1::WorkerPause {
        reason: text::prose(&pause.reason, MAX_PAUSE_BYTES),
        remaining: Some(prost_types::Duration::try_from(remaining).unwrap_or_default()),
    }
}

pub(crate) fn run_events(key: GrantKey, batch: Batch) -> v1::RunEvents {
    v1::RunEvents {
        run_id: key.run_id.to_string(),
        fence: key.fence,
        first_seq: batch.first_seq,
        entries: batch.entries.into_iter().map(event_entry).collect(),
    }
}

pub(crate) fn run_report(key: GrantKey, outcome: Outcome) -> v1::RunReport {
    use v1::outcome::Outcome as Wire;
    let outcome = match outcome {
        Outcome::Succeeded(result) => {
            Wire::Succeeded(v1::Succeeded { result: Some(v1::succeeded::Result::ResultJson(result)) })
        }
        Outcome::Failed(failure) => {
            Wire::Failed(v1::Failed { permanent: failure.permanent, error: Some(run_error(*failure)) })
        }
        Outcome::Cancelled(failure) => {
            Wire::Cancelled(v1::Cancelled { error: failure.map(|failure| run_error(*failure)) })
        }
        Outcome::Snoozed(delay) | Outcome::GivenBack { delay, .. } => {
            // At most 30 days, so the conversion can not fail.
            Wire::Snoozed(v1::Snoozed { delay: Some(prost_types::Duration::try_from(delay).unwrap_or_default()) })
        }
    };
    v1::RunReport {
        run_id: key.run_id.to_string(),
        fence: key.fence,
        outcome: Some(v1::Outcome { outcome: Some(outcome) }),
    }
}

fn run_error(failure: Failure) -> v1::RunError {
    v1::RunError {
        r#type: failure.error_type,
        message: failure.message,
        stack: failure.stack,
        context_json: failure.context.map_or_else(String::new, |context| context.to_string()),
    }
}

fn event_entry(entry: LogEntry) -> v1::EventEntry {
    let level = match entry.level {
        Level::Debug => v1::EventLevel::Debug,
        Level::Info => v1::EventLevel::Info,
        Level::Warn => v1::EventLevel::Warn,
        Level::Error => v1::EventLevel::Error,
    };
    let content = match entry.content {
        Content::Text(text) => v1::event_entry::Content::Text(text),
        Content::Bytes(bytes) => v1::event_entry::Content::Raw(bytes),
    };
    v1::EventEntry { level: level.into(), content: Some(content), data_json: entry.data_json }
}
