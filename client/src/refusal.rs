//! Errors of the contract: the details of a status, and whether the same call may succeed later.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// The domain of the contract's reasons.
const DOMAIN: &str = "ops";

/// Why a call failed, read from the details of its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The gRPC code.
    pub code: Code,
    /// The name of an `ErrorReason` without its prefix, such as `RUN_NOT_FOUND`. None if the error is not the server's own.
    pub reason: Option<String>,
    /// What the error concerns. For `INTERNAL`, `request` finds it in the server's log.
    pub metadata: HashMap<String, String>,
    /// All fields that are wrong, and all conditions that do not hold.
    pub violations: Vec<Violation>,
    /// How long to wait before the same call.
    pub retry_delay: Option<Duration>,
}

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The path of a field, such as `runs[3].labels`, or the subject of a condition.
    pub subject: String,
    /// What was expected, and what came.
    pub description: String,
}

impl From<&Status> for Refusal {
    fn from(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == DOMAIN);
        let fields = details.bad_request().into_iter().flat_map(|bad| &bad.field_violations);
        let fields = fields.map(|it| Violation { subject: it.field.clone(), description: it.description.clone() });
        let conditions = details.precondition_failure().into_iter().flat_map(|failure| &failure.violations);
        let conditions =
            conditions.map(|it| Violation { subject: it.subject.clone(), description: it.description.clone() });
        Self {
            code: status.code(),
            reason: info.map(|info| info.reason.clone()),
            metadata: info.map(|info| info.metadata.clone()).unwrap_or_default(),
            violations: fields.chain(conditions).collect(),
            retry_delay: details.retry_info().and_then(|info| info.retry_delay),
        }
    }
}

impl Refusal {
    /// Whether the same call may succeed later, on this or on another server.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self.reason.as_deref() {
            Some(reason) => {
                matches!(
                    reason,
                    "DATABASE_UNAVAILABLE" | "DATABASE_BUSY" | "SHUTTING_DOWN" | "OVERLOADED" | "REQUEST_IN_PROGRESS"
                )
            }
            // Every error of a server has a reason. Without one, the connection was lost.
            None => matches!(self.code, Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled),
        }
    }
}

/// The [`Refusal::reason`] of an error.
#[must_use]
pub fn reason(status: &Status) -> Option<String> {
    Refusal::from(status).reason
}

/// Whether an error [may pass](Refusal::is_transient).
#[must_use]
pub fn is_transient(status: &Status) -> bool {
    Refusal::from(status).is_transient()
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn status(code: Code, reason: &str, domain: &str, mut details: ErrorDetails) -> Status {
        details.set_error_info(reason, domain, HashMap::from([("request".to_owned(), "r1".to_owned())]));
        Status::with_error_details(code, "it is wrong", details)
    }

    #[test]
    fn an_error_without_a_reason_comes_from_a_lost_connection() {
        assert!(is_transient(&Status::unknown("h2 protocol error")));
        assert!(!is_transient(&Status::unimplemented("")));
        assert!(!is_transient(&status(Code::Internal, "INTERNAL", DOMAIN, ErrorDetails::new())));
        assert!(is_transient(&status(Code::Unavailable, "SHUTTING_DOWN", DOMAIN, ErrorDetails::new())));
    }

    #[test]
    fn a_refusal_has_every_detail_of_the_status() {
        let mut details = ErrorDetails::with_retry_info(Some(Duration::from_secs(2)));
        details.add_bad_request_violation("run.kind", "expected 1 to 100 characters, got 0");
        details.add_precondition_failure_violation("SESSION", "s1", "it is closed");
        let refusal = Refusal::from(&status(Code::InvalidArgument, "INVALID_FIELD", DOMAIN, details));
        assert_eq!(refusal.reason.as_deref(), Some("INVALID_FIELD"));
        assert_eq!(refusal.metadata["request"], "r1");
        assert_eq!(refusal.retry_delay, Some(Duration::from_secs(2)));
        let violations: Vec<_> =
            refusal.violations.iter().map(|it| (it.subject.as_str(), it.description.as_str())).collect();
        assert_eq!(violations, [("run.kind", "expected 1 to 100 characters, got 0"), ("s1", "it is closed")]);
    }

    #[test]
    fn a_reason_of_another_domain_is_not_a_reason_of_the_server() {
        assert_eq!(reason(&status(Code::Unavailable, "SHUTTING_DOWN", "proxy", ErrorDetails::new())), None);
    }
}
