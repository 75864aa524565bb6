//! How large inputs may be.

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

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
