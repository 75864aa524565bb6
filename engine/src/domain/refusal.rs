//! Why a well-formed request is refused.

use uuid::Uuid;

/// What a request named and was not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    Session,
    Run,
    Worker,
    Artifact,
}

impl Resource {
    pub fn as_str(self) -> &'static str {
        match self {
            Resource::Session => "session",
            Resource::Run => "run",
            Resource::Worker => "worker",
            Resource::Artifact => "artifact",
        }
    }
}

/// Why a well-formed request is refused: each is one `ErrorReason` of the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{} {id} does not exist", resource.as_str())]
    NotFound { resource: Resource, id: Uuid },
    #[error("session {0} is closed and takes no more runs")]
    SessionClosed(Uuid),
    #[error("request_id {0:?} was already used with another payload")]
    RequestIdReused(String),
    #[error("another call with request_id {0:?} is still being executed")]
    RequestInProgress(String),
    #[error("the lease on run {run_id} with fence {fence} has ended")]
    LeaseLost { run_id: Uuid, fence: i64 },
    #[error("fence {fence} of run {run_id} already ended with another outcome, which stands")]
    OutcomeConflict { run_id: Uuid, fence: i64 },
    #[error("worker {0} is draining and is given no more runs")]
    WorkerDraining(Uuid),
    #[error("the page token was not made by this method with this filter")]
    PageTokenInvalid,
    #[error("the resume token was not made by this database")]
    ResumeTokenInvalid,
    #[error("the resume token is older than the changes that are kept; watch again with a snapshot")]
    RevisionCompacted,
    #[error("{0}")]
    ProtocolViolation(String),
    #[error("more log events were sent than there were credits: {sent} of {credits}")]
    EventCreditsExceeded { sent: u32, credits: u32 },
    #[error("a newer stream of the same worker has taken the place of this one")]
    StreamReplaced,
}

impl Refusal {
    /// The name in the contract's `ErrorReason`, without its prefix.
    pub fn reason(&self) -> &'static str {
        match self {
            Refusal::NotFound { resource: Resource::Session, .. } => "SESSION_NOT_FOUND",
            Refusal::NotFound { resource: Resource::Run, .. } => "RUN_NOT_FOUND",
            Refusal::NotFound { resource: Resource::Worker, .. } => "WORKER_NOT_FOUND",
            Refusal::NotFound { resource: Resource::Artifact, .. } => "ARTIFACT_NOT_FOUND",
            Refusal::SessionClosed(_) => "SESSION_CLOSED",
            Refusal::RequestIdReused(_) => "REQUEST_ID_REUSED",
            Refusal::RequestInProgress(_) => "REQUEST_IN_PROGRESS",
            Refusal::LeaseLost { .. } => "LEASE_LOST",
            Refusal::OutcomeConflict { .. } => "OUTCOME_CONFLICT",
            Refusal::WorkerDraining(_) => "WORKER_DRAINING",
            Refusal::PageTokenInvalid => "PAGE_TOKEN_INVALID",
            Refusal::ResumeTokenInvalid => "RESUME_TOKEN_INVALID",
            Refusal::RevisionCompacted => "REVISION_COMPACTED",
            Refusal::ProtocolViolation(_) => "PROTOCOL_VIOLATION",
            Refusal::EventCreditsExceeded { .. } => "EVENT_CREDITS_EXCEEDED",
            Refusal::StreamReplaced => "STREAM_REPLACED",
        }
    }

    pub fn not_found(resource: Resource, id: Uuid) -> Self {
        Refusal::NotFound { resource, id }
    }
}
