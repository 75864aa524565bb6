//! Runs as text for people.

use chrono::{DateTime, Utc};
use proto::v1::{Lane, Run, RunStatus, WaitReason};

use super::{
    Record,
    table::{Cell, Tone},
    text, times,
};

impl Record for Run {
    const NAME: &'static str = "Run";
    const COLUMNS: &'static [&'static str] =
        &["ID", "STATUS", "LANE", "PRIORITY", "KIND", "ATTEMPT", "AGE", "TOOK", "WORKER", "NOTE"];
    const SPARE: &'static [&'static str] = &["PRIORITY", "WORKER", "ATTEMPT", "TOOK", "LANE", "AGE", "NOTE", "KIND"];

    fn id(&self) -> &str {
        &self.id
    }

    fn row(&self) -> Vec<Cell> {
        vec![
            Cell::text(&self.id),
            Cell::coloured(status(self), tone(self)),
            Cell::text(lane(self)),
            Cell::number(self.priority),
            Cell::text(&self.kind),
            Cell::text(&format!("{}/{}", self.attempt, self.max_attempts)),
            Cell::text(&times::since(self.create_time.as_ref()).map(times::age).unwrap_or_default()),
            Cell::text(&took(self)),
            Cell::text(&self.claimed_by),
            Cell::text(&note(self)),
        ]
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let labels: Vec<_> = self.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let confirmed = self.cancellation.as_ref().and_then(|cancellation| cancellation.confirmed);
        let error = self.error.as_ref();
        vec![
            ("Run", self.id.clone()),
            ("Session", self.session_id.clone()),
            ("Status", status(self).to_owned()),
            ("Note", note(self)),
            ("Lane", lane(self).to_owned()),
            ("Priority", self.priority.to_string()),
            ("Kind", self.kind.clone()),
            ("Labels", labels.join(", ")),
            ("Params", self.params_json.clone()),
            ("Attempt", format!("{} of {}", self.attempt, self.max_attempts)),
            ("Timeout", times::positive(self.timeout.as_ref()).map(times::span).unwrap_or_default()),
            ("Worker", worker(self)),
            ("Created", times::absolute(self.create_time.as_ref())),
            ("Not before", times::absolute(self.run_after_time.as_ref())),
            ("Claimed", times::absolute(self.claim_time.as_ref())),
            ("Started", times::absolute(self.start_time.as_ref())),
            ("Heartbeat", times::absolute(self.heartbeat_time.as_ref())),
            ("Cancel asked", times::absolute(self.cancellation.as_ref().and_then(|c| c.request_time.as_ref()))),
            ("Stop confirmed", confirmed.map(|yes| if yes { "yes" } else { "no" }.to_owned()).unwrap_or_default()),
            ("Finished", times::absolute(self.finish_time.as_ref())),
            ("Took", took(self)),
            ("Trace", self.traceparent.clone()),
            ("Result", self.result_json.clone()),
            ("Error", error.map(|error| format!("{}: {}", error.r#type, error.message)).unwrap_or_default()),
            ("Context", error.map(|error| error.context_json.clone()).unwrap_or_default()),
            ("Stack", error.map(|error| error.stack.clone()).unwrap_or_default()),
        ]
    }
}

/// One line about a change of a run, for a watch. `time` is when the change was seen.
pub(crate) fn transition(run: &Run, time: DateTime<Utc>) -> String {
    let line = format!(
        "{}  {:<36}  {}  {:>5}  {:<12}  {:<9}  {}/{}  {}",
        time.format("%H:%M:%S%.3fZ"),
        run.id,
        lane(run),
        run.priority,
        text::line(&run.kind),
        status(run),
        run.attempt,
        run.max_attempts,
        text::line(&note(run)),
    );
    format!("{}\n", line.trim_end())
}

/// The most important fact beside the status.
pub(crate) fn note(run: &Run) -> String {
    match run.status() {
        RunStatus::Queued => match run.wait_reason() {
            WaitReason::Unspecified => String::new(),
            WaitReason::Scheduled => format!("not before {}", times::absolute(run.run_after_time.as_ref())),
            WaitReason::Undelivered => {
                format!("ten workers did not begin it; again at {}", times::absolute(run.run_after_time.as_ref()))
            }
        },
        RunStatus::Claimed | RunStatus::Running => match (&run.cancellation, &run.progress) {
            (Some(_), _) => "asked to stop".to_owned(),
            (None, Some(progress)) => {
                format!("{:.0} % {}", progress.fraction * 100.0, progress.message).trim_end().to_owned()
            }
            (None, None) => String::new(),
        },
        RunStatus::Failed => error(run),
        RunStatus::Cancelled => cancelled(run),
        RunStatus::Succeeded | RunStatus::Unspecified => String::new(),
    }
}

fn error(run: &Run) -> String {
    run.error.as_ref().map_or_else(String::new, |error| format!("{}: {}", error.r#type, error.message))
}

fn cancelled(run: &Run) -> String {
    let cancellation = run.cancellation.as_ref();
    let stopped = match cancellation.and_then(|cancellation| cancellation.confirmed) {
        Some(false) => "its worker did not confirm that it stopped",
        // A run that did not start did not have to stop.
        _ if run.start_time.is_some() => "its worker confirmed that it stopped",
        _ => "before it began",
    };
    match cancellation.map(|cancellation| cancellation.reason.as_str()) {
        Some(reason) if !reason.is_empty() => format!("{stopped}: {reason}"),
        _ => stopped.to_owned(),
    }
}

/// The status in a word.
pub(crate) fn status(run: &Run) -> &'static str {
    match run.status() {
        RunStatus::Queued => "queued",
        RunStatus::Claimed => "claimed",
        RunStatus::Running => "running",
        RunStatus::Succeeded => "succeeded",
        RunStatus::Failed => "failed",
        RunStatus::Cancelled => "cancelled",
        RunStatus::Unspecified => "unknown",
    }
}

fn tone(run: &Run) -> Tone {
    match run.status() {
        RunStatus::Running | RunStatus::Claimed if run.cancellation.is_some() => Tone::Warning,
        RunStatus::Running | RunStatus::Claimed => Tone::Busy,
        RunStatus::Succeeded => Tone::Good,
        RunStatus::Failed => Tone::Bad,
        RunStatus::Queued | RunStatus::Cancelled | RunStatus::Unspecified => Tone::Quiet,
    }
}

pub(super) fn lane_letter(lane: Lane) -> &'static str {
    match lane {
        Lane::A => "A",
        Lane::B => "B",
        Lane::C => "C",
        Lane::D => "D",
        Lane::Unspecified => "?",
    }
}

/// The lane's letter.
pub(crate) fn lane(run: &Run) -> &'static str {
    lane_letter(run.lane())
}

fn took(run: &Run) -> String {
    let span = match run.finish_time {
        Some(_) => times::between(run.start_time.as_ref(), run.finish_time.as_ref()),
        None => times::since(run.start_time.as_ref()),
    };
    span.map(times::span).unwrap_or_default()
}

fn worker(run: &Run) -> String {
    if run.claimed_by.is_empty() { String::new() } else { format!("{} ({})", run.claimed_by, run.worker_id) }
}

#[cfg(test)]
mod tests {
    use proto::v1::{Cancellation, Progress, RunError};

    use super::*;

    fn run(status: RunStatus) -> Run {
        Run {
            id: "0190".to_owned(),
            lane: Lane::C.into(),
            kind: "shell".to_owned(),
            status: status.into(),
            ..Run::default()
        }
    }

    #[test]
    fn a_transition_is_one_aligned_line() {
        let failed = Run {
            attempt: 1,
            max_attempts: 2,
            error: Some(RunError {
                r#type: "ExitStatus".to_owned(),
                message: "two\nlines".to_owned(),
                ..Default::default()
            }),
            ..run(RunStatus::Failed)
        };
        let line = transition(&failed, DateTime::from_timestamp(3_661, 5_000_000).unwrap());
        let id = format!("{:<36}", "0190");
        assert_eq!(
            line,
            format!("01:01:01.005Z  {id}  C      0  shell         failed     1/2  ExitStatus: two\\nlines\n")
        );
    }

    #[test]
    fn a_note_says_whether_a_cancelled_run_was_stopped() {
        let asked = Cancellation { reason: "too slow".to_owned(), ..Default::default() };
        let running =
            Run { cancellation: Some(asked.clone()), progress: Some(Progress::default()), ..run(RunStatus::Running) };
        assert_eq!(note(&running), "asked to stop");
        let cancelled = |confirmed, start_time| Run {
            cancellation: Some(Cancellation { confirmed: Some(confirmed), ..asked.clone() }),
            start_time,
            ..run(RunStatus::Cancelled)
        };
        let started = Some(prost_types::Timestamp::default());
        assert_eq!(note(&cancelled(true, started)), "its worker confirmed that it stopped: too slow");
        assert_eq!(note(&cancelled(false, started)), "its worker did not confirm that it stopped: too slow");
        assert_eq!(note(&cancelled(true, None)), "before it began: too slow");
    }

    #[test]
    fn a_row_has_a_cell_for_each_column() {
        assert_eq!(run(RunStatus::Queued).row().len(), Run::COLUMNS.len());
    }
}
