//! Why the engine did not do what it was asked for.

use crate::domain::Refusal;
use crate::store::StoreError;

/// Every way in which a request to the engine ends other than well.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A bounded queue is full.
    #[error("the server is overloaded")]
    Overloaded,
    #[error("the server is shutting down")]
    ShuttingDown,
    #[error(transparent)]
    Store(#[from] StoreError),
}
