//! What a worker is answered where a write of its grants was refused.

use crate::EngineError;
use crate::domain::frame::ReasonText;

/// The stream has ended, or is about to, before it was known what becomes of the write. It is not answered, so that the
/// worker sends the same again when it resumes; a refusal would have it dropped.
pub fn is_undecided(error: &EngineError) -> bool {
    error.is_passing() || matches!(error, EngineError::ShuttingDown)
}

/// The reason of a refusal, as the contract names it, and its text.
pub fn reason_of(error: &EngineError) -> ReasonText {
    let reason = match error {
        EngineError::Refused(refusal) => refusal.reason(),
        // A violation, or a value that the checks let through and the database refuses.
        EngineError::Invalid(_) | EngineError::Store(_) => "INVALID_FIELD",
        EngineError::Overloaded => "OVERLOADED",
        EngineError::ShuttingDown => "SHUTTING_DOWN",
    };
    ReasonText { reason, message: error.to_string() }
}
