//! Why a use case did not do what it was asked for.

use crate::domain::Refusal;
use crate::domain::violation::Violations;
use crate::engine::EngineError;
use crate::store::StoreError;

/// Every way in which a use case ends other than well. `grpc/status.rs` says what a client is told of each.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ServiceError {
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

impl ServiceError {
    /// Whether the same later may succeed, without the caller's doing.
    pub fn is_passing(&self) -> bool {
        match self {
            ServiceError::Overloaded => true,
            ServiceError::Store(error) => error.is_passing(),
            ServiceError::Invalid(_) | ServiceError::Refused(_) | ServiceError::ShuttingDown => false,
        }
    }
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Overloaded => ServiceError::Overloaded,
            error => ServiceError::Store(error),
        }
    }
}

impl From<EngineError> for ServiceError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Refused(refusal) => ServiceError::Refused(refusal),
            EngineError::Overloaded => ServiceError::Overloaded,
            EngineError::ShuttingDown => ServiceError::ShuttingDown,
            EngineError::Store(error) => error.into(),
        }
    }
}
