//! The errors with which a worker does not start.

/// Why a worker did not start. After the first `Welcome` only a shutdown or a drain ends a worker.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The configuration is wrong. Each entry names its field.
    #[error("invalid configuration: {}", .0.join("; "))]
    Config(Vec<String>),
    /// The server refuses this worker for good.
    #[error("refused by the server: {code}: {message}")]
    Refused {
        /// The gRPC status code, such as `InvalidArgument`.
        code: String,
        /// The server's message.
        message: String,
    },
}
