//! What runs made.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Where the content is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArtifactContent {
    Text(String),
    Url(String),
    /// A list does not carry the text.
    TextLeftOut,
}

/// Something that a run made.
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

/// An artifact to keep; already checked.
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
    /// The worker and its fence, if a worker makes it.
    pub grant: Option<(Uuid, i64)>,
}

/// Whose artifacts a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArtifactParent {
    Run(Uuid),
    /// All runs of the session.
    Session(Uuid),
}
