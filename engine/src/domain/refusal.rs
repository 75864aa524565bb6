//! Why a well-formed request is refused.

use uuid::Uuid;

/// A kind of resource that can be missing.
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

/// Why a well-formed request is refused. The server's `edge/status.rs` maps each to one `ErrorReason` of the contract.
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
    #[error("the resume token was made for another filter or run, or by another database, or is damaged")]
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
    pub fn not_found(resource: Resource, id: Uuid) -> Self {
        Refusal::NotFound { resource, id }
    }
}
