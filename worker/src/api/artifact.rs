//! What a handler keeps of its run, beside the result.

/// What an artifact holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArtifactContent {
    /// A text of up to 1 MiB, kept by the server.
    Text(String),
    /// An http or https URL of up to 2,000 characters. It is kept, not fetched.
    Url(String),
}

/// Why an artifact was not kept.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The server refused it: bad input, or the run is no longer this worker's.
    #[error("artifact refused: {0}")]
    Refused(String),
    /// No server kept it within a minute.
    #[error("artifact not kept within 60 s: {0}")]
    Unavailable(String),
    /// The context belongs to no server, as under a probe that was told to refuse artifacts.
    #[error("no server")]
    NoServer,
}
