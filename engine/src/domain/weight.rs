//! The size of what is kept and sent. Messages and memory are bounded in bytes, and not only in number.
//!
//! Patterns name every field of a run, so that a new one does not compile before it is counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::artifact::{Artifact, ArtifactContent};
use crate::domain::event::{EventBatch, EventEntry, RunEvent};
use crate::domain::run::Progress;
use crate::domain::worker::Worker;
use crate::domain::{Outcome, Run, RunError, RunRequest, RunSpec, Session};

/// The most bytes in one message of a stream, unless its only item is larger. gRPC clients take 4 MiB by default, which leaves room.
pub const MESSAGE_BYTES: usize = 3 << 20;

/// A value that has a size.
pub trait Weight {
    /// About how many bytes it takes, in memory and on the wire.
    fn weight(&self) -> usize;
}

/// The bytes of a run beside its texts.
const RUN_BASE: usize = 1_024;
/// The bytes of a session, a worker or an artifact beside its texts.
const RECORD_BASE: usize = 512;
/// The bytes of an event beside its texts.
const EVENT_BASE: usize = 256;
/// The bytes of an entry of a list or a map beside its texts.
const ENTRY_BASE: usize = 8;

/// Its texts alone: where specs wait, their number is bounded as well.
impl Weight for RunSpec {
    fn weight(&self) -> usize {
        let RunSpec {
            session_id: _,
            lane: _,
            priority: _,
            kind,
            params,
            labels,
            max_attempts: _,
            timeout: _,
            traceparent: _,
        } = self;
        kind.len() + params.len() + labels.weight()
    }
}

impl Weight for RunRequest {
    fn weight(&self) -> usize {
        let RunRequest { spec, run_after: _, request_id } = self;
        spec.weight() + request_id.as_ref().map_or(0, String::len)
    }
}

impl Weight for Run {
    fn weight(&self) -> usize {
        let Run {
            id: _,
            tenant_id: _,
            spec,
            status: _,
            wait_reason: _,
            run_after: _,
            attempt: _,
            fence: _,
            grant,
            progress,
            cancellation,
            result,
            error,
            revision: _,
            created_at: _,
            updated_at: _,
            finished_at: _,
        } = self;
        let worker = grant.as_ref().map_or(0, |grant| grant.worker_name.len());
        let progress = progress.as_ref().map_or(0, Weight::weight);
        let reason = cancellation.as_ref().map_or(0, |cancellation| cancellation.reason.len());
        let result = result.as_ref().map_or(0, String::len);
        let error = error.as_ref().map_or(0, Weight::weight);
        RUN_BASE + spec.weight() + worker + progress + reason + result + error
    }
}

impl Weight for RunError {
    fn weight(&self) -> usize {
        let RunError { kind, message, stack, context } = self;
        kind.len() + message.len() + stack.len() + context.len()
    }
}

impl Weight for Progress {
    fn weight(&self) -> usize {
        self.message.len()
    }
}

impl Weight for RunEvent {
    fn weight(&self) -> usize {
        let raw = self.raw.as_ref().map_or(0, Vec::len);
        EVENT_BASE + self.message.len() + raw + self.data.as_ref().map_or(0, String::len)
    }
}

impl Weight for EventEntry {
    fn weight(&self) -> usize {
        let raw = self.raw.as_ref().map_or(0, Vec::len);
        EVENT_BASE + self.message.len() + raw + self.data.as_ref().map_or(0, String::len)
    }
}

impl Weight for EventBatch {
    fn weight(&self) -> usize {
        self.entries.weight()
    }
}

impl Weight for Outcome {
    fn weight(&self) -> usize {
        match self {
            Outcome::Succeeded { result } => result.len(),
            Outcome::Failed { error, .. } | Outcome::Cancelled { error: Some(error) } => error.weight(),
            Outcome::Cancelled { error: None } | Outcome::Snoozed { .. } => 0,
        }
    }
}

impl Weight for Session {
    fn weight(&self) -> usize {
        RECORD_BASE + self.name.len() + self.description.len() + self.triggered_by.len() + self.context.len()
    }
}

impl Weight for Worker {
    fn weight(&self) -> usize {
        let kinds: usize = self.kinds.iter().map(|kind| kind.len() + ENTRY_BASE).sum();
        RECORD_BASE + self.name.len() + self.version.len() + kinds + self.labels.weight()
    }
}

impl Weight for Artifact {
    fn weight(&self) -> usize {
        let content = match &self.content {
            ArtifactContent::Text(content) | ArtifactContent::Url(content) => content.len(),
            ArtifactContent::TextLeftOut => 0,
        };
        RECORD_BASE + self.name.len() + self.kind.len() + self.mime_type.len() + self.metadata.len() + content
    }
}

/// Labels.
impl Weight for BTreeMap<String, String> {
    fn weight(&self) -> usize {
        self.iter().map(|(key, value)| key.len() + value.len() + ENTRY_BASE).sum()
    }
}

impl<T: Weight> Weight for Vec<T> {
    fn weight(&self) -> usize {
        self.iter().map(Weight::weight).sum()
    }
}

impl<T: Weight> Weight for Arc<T> {
    fn weight(&self) -> usize {
        self.as_ref().weight()
    }
}

/// In tests a number weighs what it says.
#[cfg(test)]
impl Weight for usize {
    fn weight(&self) -> usize {
        *self
    }
}

/// Divides items, in order, into messages of up to `bytes`. A larger item gets a message of its own.
pub fn messages<T: Weight>(items: Vec<T>, bytes: usize) -> Vec<Vec<T>> {
    let mut messages: Vec<Vec<T>> = Vec::new();
    let mut room = 0;
    for item in items {
        let weight = item.weight();
        match messages.last_mut() {
            Some(message) if weight <= room => {
                room -= weight;
                message.push(item);
            }
            _ => {
                room = bytes.saturating_sub(weight);
                messages.push(vec![item]);
            }
        }
    }
    messages
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;
    use crate::domain::run::Cancellation;
    use crate::domain::{Grant, Lane, TenantId};

    #[test]
    fn messages_are_filled_in_order_up_to_their_bytes() {
        assert_eq!(messages(Vec::<usize>::new(), 10), Vec::<Vec<usize>>::new());
        assert_eq!(messages(vec![4, 4, 4, 10, 11, 1], 10), [vec![4, 4], vec![4], vec![10], vec![11], vec![1]]);
    }
    /// A run with an empty text in each place.
    fn run() -> Run {
        let now = DateTime::UNIX_EPOCH;
        let spec = RunSpec {
            session_id: Uuid::nil(),
            lane: Lane::A,
            priority: 0,
            kind: String::new(),
            params: String::new(),
            labels: [(String::new(), String::new())].into(),
            max_attempts: 1,
            timeout: None,
            traceparent: None,
        };
        Run {
            grant: Some(Grant {
                worker_id: Uuid::nil(),
                worker_name: String::new(),
                claimed_at: now,
                started_at: None,
                heartbeat_at: now,
            }),
            progress: Some(Progress { fraction: 0.0, message: String::new() }),
            cancellation: Some(Cancellation {
                requested_at: now,
                reason: String::new(),
                grace: Duration::ZERO,
                confirmed: None,
            }),
            result: Some(String::new()),
            error: Some(error()),
            ..Run::enqueued(Uuid::nil(), TenantId::single(), spec, None, now)
        }
    }

    fn error() -> RunError {
        RunError { kind: String::new(), message: String::new(), stack: String::new(), context: String::new() }
    }

    const TEXT: &str = "a text of a run";

    /// Whether a text counts in full, by what it is put into.
    fn counts<T: Weight>(empty: T, put: impl Fn(&mut T, String)) -> bool {
        let before = empty.weight();
        let mut filled = empty;
        put(&mut filled, TEXT.to_owned());
        filled.weight() == before + TEXT.len()
    }

    #[test]
    fn each_text_of_a_run_counts() {
        let places: [fn(&mut Run, String); 12] = [
            |run, text| run.spec.kind = text,
            |run, text| run.spec.params = text,
            |run, text| run.spec.labels = [(text, String::new())].into(),
            |run, text| run.spec.labels = [(String::new(), text)].into(),
            |run, text| run.grant.as_mut().expect("set").worker_name = text,
            |run, text| run.progress.as_mut().expect("set").message = text,
            |run, text| run.cancellation.as_mut().expect("set").reason = text,
            |run, text| run.result = Some(text),
            |run, text| run.error.as_mut().expect("set").kind = text,
            |run, text| run.error.as_mut().expect("set").message = text,
            |run, text| run.error.as_mut().expect("set").stack = text,
            |run, text| run.error.as_mut().expect("set").context = text,
        ];
        for (index, put) in places.into_iter().enumerate() {
            assert!(counts(run(), put), "{index}");
        }
    }

    #[test]
    fn each_text_of_a_request_and_of_an_outcome_counts() {
        let request = || RunRequest { spec: run().spec, run_after: None, request_id: Some(String::new()) };
        let places: [fn(&mut RunRequest, String); 5] = [
            |request, text| request.spec.kind = text,
            |request, text| request.spec.params = text,
            |request, text| request.spec.labels = [(text, String::new())].into(),
            |request, text| request.spec.labels = [(String::new(), text)].into(),
            |request, text| request.request_id = Some(text),
        ];
        for (index, put) in places.into_iter().enumerate() {
            assert!(counts(request(), put), "{index}");
        }
        let failed = || Outcome::Failed { error: error(), permanent: false };
        let errors: [fn(String) -> RunError; 4] = [
            |kind| RunError { kind, ..error() },
            |message| RunError { message, ..error() },
            |stack| RunError { stack, ..error() },
            |context| RunError { context, ..error() },
        ];
        for (index, of) in errors.into_iter().enumerate() {
            let put = |outcome: &mut Outcome, text| *outcome = Outcome::Failed { error: of(text), permanent: false };
            assert!(counts(failed(), put), "{index}");
        }
    }
}
