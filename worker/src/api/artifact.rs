//! Artifacts: texts and URLs that a run keeps besides its result.

/// The content of an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArtifactContent {
    /// A text of up to 1 MiB. The server keeps it.
    Text(String),
    /// An http or https URL of up to 2,000 characters. The server keeps the URL and does not fetch it.
    Url(String),
}

/// Why no server kept an artifact.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The server refused it: the input is bad, or the grant is lost.
    #[error("artifact refused: {0}")]
    Refused(String),
    /// No server kept it within 60 s.
    #[error("artifact not kept within 60 s: {0}")]
    Unavailable(String),
    /// The context has no server, as in a test with a probe.
    #[error("no server")]
    NoServer,
}
