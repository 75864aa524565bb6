//! How large inputs may be.

use std::time::Duration;

use crate::domain::weight::MESSAGE_BYTES;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// More than what a run or an artifact has beside its largest texts: labels, names, a progress message, the reason of a cancel.
const BESIDE_TEXTS: usize = 128 * KIB;

/// The bounds of inputs. Larger inputs are refused. Texts for people are counted in characters, as the schema does, and everything else
/// in bytes. The schema has the same bounds for names, kinds and descriptions, so these may be lowered and not raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// A message in, in bytes.
    pub message_in: usize,
    /// All requests that are being answered, in bytes of their messages. Calls of workers have a second budget of this size.
    pub request_bytes: u32,
    /// Calls that are being answered, without calls of workers, cancels, and calls that wait for an event.
    pub calls: usize,
    /// A message out, in bytes.
    pub message_out: usize,
    /// A run's params, a session's context, in bytes.
    pub params: usize,
    /// A run's result, in bytes.
    pub result: usize,
    /// The text of an artifact that is kept in the database, in bytes.
    pub artifact_text: usize,
    /// The metadata of an artifact, in bytes.
    pub artifact_metadata: usize,
    /// An artifact's link, in characters.
    pub url: usize,
    /// The message of a run's error, in bytes.
    pub error_message: usize,
    /// The stack of a run's error, in bytes.
    pub error_stack: usize,
    /// The context of a run's error, in bytes.
    pub error_context: usize,
    /// The content of one event, in bytes.
    pub event: usize,
    /// The data of one event, in bytes.
    pub event_data: usize,
    /// How deep JSON may be nested.
    pub json_depth: usize,
    /// A name, in characters; also the trigger of a session, and the class of an error.
    pub name: usize,
    /// A kind, in characters; also a version.
    pub kind: usize,
    /// A description, in characters; also a reason and a progress message.
    pub description: usize,
    /// A request id, in characters.
    pub request_id: usize,
    /// Labels of one resource.
    pub labels: usize,
    /// A label's key, in characters.
    pub label_key: usize,
    /// A label's value, in characters.
    pub label_value: usize,
    /// Runs of one EnqueueRuns.
    pub enqueue_runs: usize,
    /// Kinds that a worker or a filter names.
    pub kinds: usize,
    /// Entries of one list in a frame or a unary call of a worker.
    pub frame_items: usize,
    /// Grants that a worker names in a heartbeat or a resume: as many as it may have slots.
    pub held_leases: usize,
    /// Attempts of a run.
    pub max_attempts: i32,
    /// The longest timeout of a run, and the longest snooze.
    pub run_timeout: Duration,
    /// The longest grace of a cancel.
    pub cancel_grace: Duration,
    /// The longest lease that a unary worker may ask for.
    pub lease_timeout: Duration,
    /// The longest wait of a Claim.
    pub claim_wait: Duration,
    /// The longest wait of a WaitRun.
    pub run_wait: Duration,
    /// Entries of a page when none is asked for.
    pub page_default: i64,
    /// The most entries of a page.
    pub page_max: i64,
}

impl Limits {
    /// Why the largest answer does not fit into a message, if it does not. Such an answer is refused after its call was carried out.
    pub fn too_large_for_a_message(&self) -> Option<String> {
        // PostgreSQL writes a space behind each comma and colon.
        let json = |bytes: usize| bytes.saturating_add(bytes / 2);
        let error = self.error_message + self.error_stack + json(self.error_context);
        let artifact = self.artifact_text.saturating_add(json(self.artifact_metadata));
        // Bytes that are no text are kept as they are, beside a text with 3 bytes for each.
        let event = self.event.saturating_mul(4).saturating_add(json(self.event_data));
        let largest = json(self.params)
            .saturating_add(json(self.result))
            .saturating_add(error)
            .max(artifact)
            .max(event)
            .max(MESSAGE_BYTES)
            .saturating_add(BESIDE_TEXTS);
        let got = self.message_in.min(self.message_out);
        (got < largest).then(|| {
            format!(
                "expected room for the largest answer, which with these limits has up to {largest} bytes, got {got}"
            )
        })
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_in: 16 * MIB,
            request_bytes: 256 << 20,
            calls: 2_000,
            message_out: 16 * MIB,
            params: MIB,
            result: MIB,
            artifact_text: MIB,
            artifact_metadata: 64 * KIB,
            url: 2_000,
            error_message: 16 * KIB,
            error_stack: 64 * KIB,
            error_context: 64 * KIB,
            event: 64 * KIB,
            event_data: 64 * KIB,
            json_depth: 64,
            name: 200,
            kind: 100,
            description: 4_000,
            request_id: 200,
            labels: 32,
            label_key: 63,
            label_value: 255,
            enqueue_runs: 10_000,
            kinds: 100,
            frame_items: 1_000,
            held_leases: 10_000,
            max_attempts: 100,
            run_timeout: Duration::from_secs(30 * 24 * 3600),
            cancel_grace: Duration::from_secs(3600),
            lease_timeout: Duration::from_secs(3600),
            claim_wait: Duration::from_secs(60),
            run_wait: Duration::from_secs(600),
            page_default: 50,
            page_max: 1_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_answer_fits_into_a_message() {
        let limits = Limits::default();
        assert_eq!(limits.too_large_for_a_message(), None);
        // A message of a plain gRPC client takes the answers under the other defaults.
        assert_eq!(
            Limits { message_in: 4 * MIB, message_out: 4 * MIB, ..limits.clone() }.too_large_for_a_message(),
            None
        );
        for small in [
            Limits { message_in: MIB, ..limits.clone() },
            Limits { message_out: MIB, ..limits.clone() },
            Limits { params: 9_000_000, result: 9_000_000, ..limits.clone() },
            Limits { artifact_text: 16 * MIB, ..limits.clone() },
            Limits { event: 16 * MIB, ..limits.clone() },
            Limits { params: usize::MAX, ..limits.clone() },
        ] {
            assert!(small.too_large_for_a_message().is_some(), "{small:?}");
        }
    }
}
