//! Outcomes of grants, within the limits of the contract.

use std::{fmt::Debug, time::Duration};

use serde_json::Value;

use crate::api::{
    failure::{Failure, HandlerError},
    stop::{StopCause, StopReason},
    text,
};

/// Limits of the contract: the server would refuse a report with a longer text.
const MAX_RESULT_BYTES: usize = 1024 * 1024;
const MAX_TYPE_CHARACTERS: usize = 200;
const MAX_MESSAGE_BYTES: usize = 16 * 1024;
const MAX_STACK_BYTES: usize = 64 * 1024;
const MAX_CONTEXT_BYTES: usize = 64 * 1024;
const MAX_SNOOZE: Duration = Duration::from_secs(30 * 24 * 3600);

/// The outcome of a grant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// The result, as JSON text.
    Succeeded(String),
    Failed(Box<Failure>),
    /// The failure that happened while the handler stopped, if any.
    Cancelled(Option<Box<Failure>>),
    Snoozed(Duration),
    /// This worker could not execute the run. It is offered again after the delay.
    GivenBack {
        reason: String,
        delay: Duration,
    },
}

impl Outcome {
    /// The outcome to report, from what the handler returned (`None`: it was aborted) and from the request to stop, if there
    /// was one. A success always counts, because the work is done.
    pub(crate) fn of(returned: Option<Result<Value, HandlerError>>, stop: Option<&StopReason>) -> Self {
        let Some(stop) = stop else {
            return match returned {
                Some(Ok(result)) => Self::succeeded(result),
                Some(Err(HandlerError::Failed(failure))) => Self::Failed(bounded(*failure)),
                Some(Err(HandlerError::Snooze(delay))) => Self::Snoozed(delay.min(MAX_SNOOZE)),
                Some(Err(HandlerError::Shortage(reason))) => Self::GivenBack { reason, delay: Duration::ZERO },
                Some(Err(HandlerError::Cancelled)) => {
                    Self::failed(Failure::new("Cancelled", "the handler stopped though nobody had asked it to"))
                }
                None => Self::failed(Failure::new("Aborted", "the handler was aborted")),
            };
        };
        match (returned, stop.cause) {
            (Some(Ok(result)), _) => Self::succeeded(result),
            (Some(Err(HandlerError::Failed(failure))), StopCause::Cancel) => Self::Cancelled(Some(bounded(*failure))),
            (_, StopCause::Cancel) => Self::Cancelled(None),
            // For a worker that leaves, a later offer of the run is better than a failure.
            (Some(Err(HandlerError::Snooze(delay))), StopCause::Shutdown) => Self::Snoozed(delay.min(MAX_SNOOZE)),
            // Nothing of the run was done, so its timeout and a shutdown do not matter.
            (Some(Err(HandlerError::Shortage(reason))), _) => Self::GivenBack { reason, delay: Duration::ZERO },
            (Some(Err(HandlerError::Failed(failure))), cause) => {
                let mut stopped = Failure::new(type_of(cause), stop.reason.clone());
                stopped.context = Some(serde_json::json!({
                    "error": { "type": failure.error_type, "message": failure.message, "context": failure.context },
                }));
                Self::failed(stopped)
            }
            (_, cause) => Self::failed(Failure::new(type_of(cause), stop.reason.clone())),
        }
    }

    pub(crate) fn failed(failure: Failure) -> Self {
        Self::Failed(bounded(failure))
    }

    /// Its size in a frame, about.
    pub(crate) fn size(&self) -> usize {
        let of_failure = |failure: &Failure| {
            // The bound of the context is enough here; to measure the context it would have to be encoded.
            let context = if failure.context.is_some() { MAX_CONTEXT_BYTES } else { 0 };
            failure.error_type.len() + failure.message.len() + failure.stack.len() + context
        };
        match self {
            Self::Succeeded(result) => result.len(),
            Self::Failed(failure) => of_failure(failure),
            Self::Cancelled(failure) => failure.as_deref().map_or(0, of_failure),
            Self::Snoozed(_) | Self::GivenBack { .. } => 0,
        }
    }

    fn succeeded(mut result: Value) -> Self {
        match text::json(&mut result, MAX_RESULT_BYTES) {
            Ok(text) => Self::Succeeded(text),
            Err(bytes) => {
                let message = format!("expected a result of up to 1 MiB, got {bytes} bytes");
                Self::failed(Failure { permanent: true, ..Failure::new("ResultTooLarge", message) })
            }
        }
    }

    /// What to report in place of an outcome that a server refuses as invalid: the same end without the details, if it is a failure. A
    /// failure that could be tried again stays one.
    pub(crate) fn without_details(&self, why: &str) -> Self {
        match self {
            Self::Failed(failure) => {
                let message = format!("the server does not take the details of this failure: {why}");
                Self::failed(Failure {
                    permanent: failure.permanent,
                    ..Failure::new(failure.error_type.clone(), message)
                })
            }
            Self::Cancelled(_) => Self::Cancelled(None),
            _ => Self::failed(Failure { permanent: true, ..Failure::new("InvalidOutcome", why) }),
        }
    }
}

fn type_of(cause: StopCause) -> &'static str {
    match cause {
        StopCause::Cancel => "Cancelled",
        StopCause::Timeout => "Timeout",
        StopCause::Shutdown => "WorkerShutdown",
    }
}

fn bounded(mut failure: Failure) -> Box<Failure> {
    if failure.error_type.is_empty() {
        failure.error_type = "Error".into();
    }
    failure.error_type = text::line(&failure.error_type, MAX_TYPE_CHARACTERS);
    failure.message = text::prose(&failure.message, MAX_MESSAGE_BYTES);
    failure.stack = text::prose(&failure.stack, MAX_STACK_BYTES);
    failure.context = failure.context.map(|context| {
        let mut context = if context.is_object() { context } else { serde_json::json!({ "value": context }) };
        match text::json(&mut context, MAX_CONTEXT_BYTES) {
            Ok(_) => context,
            Err(_) => serde_json::json!({ "omitted": "context over 64 KiB" }),
        }
    });
    Box::new(failure)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stop(cause: StopCause) -> StopReason {
        StopReason { cause, reason: "asked".into(), grace: Duration::ZERO }
    }

    fn failure_with(context: Value) -> HandlerError {
        HandlerError::failed("ExitStatus", "exit 2").with_context(context)
    }

    fn failure() -> Result<Value, HandlerError> {
        Err(HandlerError::failed("ExitStatus", "exit 2"))
    }

    #[test]
    fn a_success_stands_even_after_a_request_to_stop() {
        for cause in [StopCause::Cancel, StopCause::Timeout, StopCause::Shutdown] {
            assert_eq!(Outcome::of(Some(Ok(json!(1))), Some(&stop(cause))), Outcome::Succeeded("1".into()));
        }
    }

    #[test]
    fn after_a_cancel_an_error_is_kept_beside_it() {
        let asked = stop(StopCause::Cancel);
        let Outcome::Cancelled(Some(kept)) = Outcome::of(Some(failure()), Some(&asked)) else {
            panic!("not cancelled")
        };
        assert_eq!(kept.error_type, "ExitStatus");
        assert_eq!(Outcome::of(Some(Err(HandlerError::Cancelled)), Some(&asked)), Outcome::Cancelled(None));
        assert_eq!(Outcome::of(None, Some(&asked)), Outcome::Cancelled(None));
    }

    #[test]
    fn timeouts_and_shutdowns_are_failures_that_may_be_tried_again() {
        for (cause, name) in [(StopCause::Timeout, "Timeout"), (StopCause::Shutdown, "WorkerShutdown")] {
            for returned in [None, Some(Err(HandlerError::Cancelled)), Some(failure())] {
                let Outcome::Failed(failure) = Outcome::of(returned, Some(&stop(cause))) else { panic!("not failed") };
                assert_eq!((failure.error_type.as_str(), failure.permanent), (name, false));
            }
        }
    }

    #[test]
    fn a_handler_that_reports_a_cancel_without_a_request_has_failed() {
        let outcome = Outcome::of(Some(Err(HandlerError::Cancelled)), None);
        assert!(matches!(outcome, Outcome::Failed(failure) if failure.error_type == "Cancelled"));
    }

    #[test]
    fn outcomes_are_brought_within_the_limits() {
        let result = json!("x".repeat(MAX_RESULT_BYTES));
        let outcome = Outcome::of(Some(Ok(result)), None);
        assert!(
            matches!(outcome, Outcome::Failed(failure) if failure.error_type == "ResultTooLarge" && failure.permanent)
        );
        let long = "é\0\n".repeat(MAX_STACK_BYTES);
        let error = HandlerError::failed(long.clone(), long.clone()).with_stack(long).with_context(json!([1]));
        let Outcome::Failed(failure) = Outcome::of(Some(Err(error)), None) else { panic!("not failed") };
        assert_eq!(failure.error_type.chars().count(), MAX_TYPE_CHARACTERS);
        assert!(failure.message.len() <= MAX_MESSAGE_BYTES && failure.stack.len() <= MAX_STACK_BYTES);
        assert!(!failure.message.contains('\0') && !failure.error_type.contains('\n'));
        assert_eq!(failure.context, Some(json!({ "value": [1] })));
        let Outcome::Failed(failure) = Outcome::of(Some(Err(failure_with(json!({ "tail": "a\0b" })))), None) else {
            panic!("not failed")
        };
        assert_eq!(failure.context, Some(json!({ "tail": "a\u{fffd}b" })));
    }

    #[test]
    fn a_failure_that_the_server_does_not_take_keeps_its_kind() {
        for permanent in [false, true] {
            let refused = Outcome::failed(Failure { permanent, ..Failure::new("ExitStatus", "exit 3") });
            let Outcome::Failed(kept) = refused.without_details("because") else { panic!("not failed") };
            assert_eq!((kept.error_type.as_str(), kept.permanent), ("ExitStatus", permanent));
        }
        let cancelled = Outcome::Cancelled(Some(Box::new(Failure::new("ExitStatus", "exit 3"))));
        assert_eq!(cancelled.without_details("because"), Outcome::Cancelled(None));
    }
}
