//! Why the engine did not do what a caller asked for.

use crate::db::StoreError;
use crate::domain::Refusal;
use crate::domain::violation::Violations;

/// Every reason why a request fails. The server's `edge/status.rs` maps each to a gRPC status.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// One or more fields are wrong.
    #[error("{0}")]
    Invalid(#[from] Violations),
    /// The request is well-formed, and refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A bounded queue is full.
    #[error("the server is overloaded")]
    Overloaded,
    #[error("the server is shutting down")]
    ShuttingDown,
    #[error(transparent)]
    Store(StoreError),
}

impl EngineError {
    /// Whether the same request may succeed later: the database is away, other transactions are in the way, or a queue is full.
    pub fn is_passing(&self) -> bool {
        match self {
            EngineError::Overloaded => true,
            EngineError::Store(error) => error.is_passing(),
            EngineError::Invalid(_) | EngineError::Refused(_) | EngineError::ShuttingDown => false,
        }
    }
}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Overloaded => EngineError::Overloaded,
            error => EngineError::Store(error),
        }
    }
}
