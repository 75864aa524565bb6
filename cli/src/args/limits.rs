//! Limits of what clients may send.

use clap::Args;

/// Limits of what clients may send. A larger request is refused with the name of the field.
#[derive(Args, Debug)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// A whole message, in or out, in bytes
    #[arg(long, env = "OPS_MAX_MESSAGE_BYTES", value_name = "BYTES", default_value_t = server::Limits::default().message_in)]
    max_message_bytes: usize,
    /// All open requests together, in bytes of their messages; calls of workers have the same room for themselves
    #[arg(long, env = "OPS_MAX_REQUEST_BYTES", value_name = "BYTES", default_value_t = server::Limits::default().request_bytes)]
    max_request_bytes: u32,
    /// Open calls, except those of workers, cancels, and calls that wait for an event
    #[arg(long, env = "OPS_MAX_CALLS", value_name = "COUNT", default_value_t = server::Limits::default().calls)]
    max_calls: usize,
    /// A run's params, or a session's context, in bytes
    #[arg(long, env = "OPS_MAX_PARAMS_BYTES", value_name = "BYTES", default_value_t = server::Limits::default().params)]
    max_params_bytes: usize,
    /// A run's result, in bytes
    #[arg(long, env = "OPS_MAX_RESULT_BYTES", value_name = "BYTES", default_value_t = server::Limits::default().result)]
    max_result_bytes: usize,
    /// The text of an artifact, in bytes
    #[arg(long, env = "OPS_MAX_ARTIFACT_BYTES", value_name = "BYTES", default_value_t = server::Limits::default().artifact_text)]
    max_artifact_bytes: usize,
    /// The content of one log event, in bytes
    #[arg(long, env = "OPS_MAX_EVENT_BYTES", value_name = "BYTES", default_value_t = server::Limits::default().event)]
    max_event_bytes: usize,
    /// The runs of one EnqueueRuns
    #[arg(long, env = "OPS_MAX_ENQUEUE_RUNS", value_name = "COUNT", default_value_t = server::Limits::default().enqueue_runs)]
    max_enqueue_runs: usize,
}

impl LimitArgs {
    pub(crate) fn limits(&self) -> server::Limits {
        server::Limits {
            message_in: self.max_message_bytes,
            message_out: self.max_message_bytes,
            request_bytes: self.max_request_bytes,
            calls: self.max_calls,
            params: self.max_params_bytes,
            result: self.max_result_bytes,
            artifact_text: self.max_artifact_bytes,
            event: self.max_event_bytes,
            enqueue_runs: self.max_enqueue_runs,
            ..server::Limits::default()
        }
    }
}
