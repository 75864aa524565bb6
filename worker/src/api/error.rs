//! Why a worker could not run.

/// Why a worker did not start. Once it has been welcomed by a server, nothing but its shutdown ends it.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The configuration is wrong; each entry names its field.
    #[error("invalid configuration: {}", .0.join("; "))]
    Config(Vec<String>),
    /// The server refuses this worker, and trying again can not help.
    #[error("refused by the server: {code}: {message}")]
    Refused {
        /// The gRPC status code, such as `InvalidArgument`.
        code: String,
        /// What the server says.
        message: String,
    },
}
