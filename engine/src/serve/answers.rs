//! The answer to a worker when a write about a grant failed.

use crate::EngineError;
use crate::domain::frame::Rejection;

/// The answer to a write that failed. `None`: the outcome is not known yet, so the server does not answer. It tries the write again, or
/// the stream ends and the worker sends the same again after its resume. A rejection would make the worker drop it.
pub fn rejection(error: &EngineError) -> Option<Rejection> {
    match error {
        EngineError::Refused(refusal) => Some(Rejection::Refused(refusal.clone())),
        EngineError::Invalid(violations) => Some(Rejection::Invalid(violations.to_string())),
        EngineError::Store(error) if error.is_passing() => None,
        // A value passed the checks, and the database refuses it.
        EngineError::Store(error) => Some(Rejection::Invalid(error.to_string())),
        EngineError::Overloaded | EngineError::ShuttingDown => None,
    }
}
