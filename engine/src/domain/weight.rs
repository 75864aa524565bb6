//! The size of runs, events and outcomes. Messages and memory are bounded in bytes, and not only in number.

use std::sync::Arc;

use crate::domain::event::{EventBatch, EventEntry, RunEvent};
use crate::domain::{Outcome, Run};

/// The most bytes in one message of a stream, unless its only item is larger. gRPC clients take 4 MiB by default, which leaves room.
pub const MESSAGE_BYTES: usize = 3 << 20;

/// A value that has a size.
pub trait Weight {
    /// About how many bytes it takes, in memory and on the wire.
    fn weight(&self) -> usize;
}

/// The bytes of a run beside its texts.
const RUN_BASE: usize = 1_024;
/// The bytes of an event beside its texts.
const EVENT_BASE: usize = 256;

impl Weight for Run {
    fn weight(&self) -> usize {
        let error = self.error.as_ref().map_or(0, |e| e.kind.len() + e.message.len() + e.stack.len() + e.context.len());
        let labels: usize = self.spec.labels.iter().map(|(key, value)| key.len() + value.len() + 8).sum();
        let progress = self.progress.as_ref().map_or(0, |progress| progress.message.len());
        let reason = self.cancellation.as_ref().map_or(0, |cancellation| cancellation.reason.len());
        let result = self.result.as_ref().map_or(0, String::len);
        RUN_BASE + self.spec.kind.len() + self.spec.params.len() + result + error + labels + progress + reason
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
        self.entries.iter().map(Weight::weight).sum()
    }
}

impl Weight for Outcome {
    fn weight(&self) -> usize {
        match self {
            Outcome::Succeeded { result } => result.len(),
            Outcome::Failed { error, .. } | Outcome::Cancelled { error: Some(error) } => {
                error.message.len() + error.stack.len() + error.context.len()
            }
            Outcome::Cancelled { error: None } | Outcome::Snoozed { .. } => 0,
        }
    }
}

impl<T: Weight> Weight for Arc<T> {
    fn weight(&self) -> usize {
        self.as_ref().weight()
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
    use super::*;

    impl Weight for usize {
        fn weight(&self) -> usize {
            *self
        }
    }

    #[test]
    fn messages_are_filled_in_order_up_to_their_bytes() {
        assert_eq!(messages(Vec::<usize>::new(), 10), Vec::<Vec<usize>>::new());
        assert_eq!(messages(vec![4, 4, 4, 10, 11, 1], 10), [vec![4, 4], vec![4], vec![10], vec![11], vec![1]]);
    }
}
