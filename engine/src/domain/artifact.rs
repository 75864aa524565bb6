//! Artifacts: documents and links that runs made.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::Identity;
use crate::domain::json::value::spelling;

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

impl NewArtifact {
    /// The values in which two requests with the same id must agree. The grant is not one: a later attempt may repeat an earlier request.
    pub fn identity(&self) -> Identity {
        // This pattern names every field, so that a new one does not compile before it has its place here.
        let NewArtifact { run_id, kind, name, mime_type, content, metadata, request_id: _, grant: _ } = self;
        let (content_kind, content) = match content {
            ArtifactContent::Text(text) => ("text", text.as_str()),
            ArtifactContent::Url(url) => ("url", url.as_str()),
            ArtifactContent::TextLeftOut => ("", ""),
        };
        Identity::of("CreateArtifact")
            .with("run_id", [run_id.to_string()])
            .with("kind", [kind])
            .with("name", [name])
            .with("mime_type", [mime_type])
            .with("content", [content_kind, content])
            .with("metadata", [spelling(metadata)])
    }
}

/// The run or session whose artifacts are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArtifactParent {
    Run(Uuid),
    /// All runs of the session.
    Session(Uuid),
}
