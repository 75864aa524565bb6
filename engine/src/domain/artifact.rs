//! Artifacts: documents and links that runs made.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// The content of an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArtifactContent {
    Text(String),
    Url(String),
    /// A text, which lists leave out.
    TextLeftOut,
}

/// An artifact of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Artifact {
    pub id: Uuid,
    pub run_id: Uuid,
    pub kind: String,
    pub name: String,
    pub mime_type: String,
    pub size_bytes: Option<i64>,
    pub content: ArtifactContent,
    /// A JSON object, as text.
    pub metadata: String,
    pub created_at: DateTime<Utc>,
}

/// A new artifact; already checked.
#[derive(Debug, Clone, PartialEq)]
pub struct NewArtifact {
    pub run_id: Uuid,
    pub kind: String,
    pub name: String,
    pub mime_type: String,
    pub content: ArtifactContent,
    /// A JSON object, as text.
    pub metadata: String,
    pub request_id: Option<String>,
    /// The worker and its fence, if a worker makes the artifact.
    pub grant: Option<(Uuid, i64)>,
}

/// The run or session whose artifacts are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArtifactParent {
    Run(Uuid),
    /// All runs of the session.
    Session(Uuid),
}
