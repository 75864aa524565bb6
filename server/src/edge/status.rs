//! The status that a caller receives for each error. No other file names `tonic::Code`.

use std::collections::HashMap;
use std::time::Duration;

use proto::v1::ErrorReason;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use uuid::Uuid;

use engine::EngineError;
use engine::db::StoreError;
use engine::domain::text::excerpt;
use engine::domain::violation::Violations;
use engine::domain::{Refusal, Resource};

const DOMAIN: &str = "ops";
const PREFIX: &str = "ERROR_REASON_";

/// When a caller may try again, if that may help.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The most bytes of violations in one status. Details travel in a header, and many clients accept only 8 KiB of headers.
const DETAIL_BYTES: usize = 3_000;
/// The longest message of a status.
const MESSAGE_CHARACTERS: usize = 500;
/// The longest field and the longest description of one violation.
const VIOLATION_CHARACTERS: usize = 300;

/// The code of a reason, as `error.proto` says.
fn code(reason: ErrorReason) -> Code {
    match reason {
        ErrorReason::InvalidField
        | ErrorReason::PageTokenInvalid
        | ErrorReason::ResumeTokenInvalid
        | ErrorReason::ProtocolViolation => Code::InvalidArgument,
        ErrorReason::SessionNotFound
        | ErrorReason::RunNotFound
        | ErrorReason::WorkerNotFound
        | ErrorReason::ArtifactNotFound => Code::NotFound,
        ErrorReason::RequestIdReused => Code::AlreadyExists,
        ErrorReason::SessionClosed
        | ErrorReason::LeaseLost
        | ErrorReason::OutcomeConflict
        | ErrorReason::WorkerDraining => Code::FailedPrecondition,
        ErrorReason::Overloaded | ErrorReason::EventCreditsExceeded => Code::ResourceExhausted,
        ErrorReason::RevisionCompacted | ErrorReason::AnswerTooLarge => Code::OutOfRange,
        ErrorReason::DatabaseUnavailable | ErrorReason::ShuttingDown => Code::Unavailable,
        ErrorReason::StreamReplaced | ErrorReason::RequestInProgress | ErrorReason::DatabaseBusy => Code::Aborted,
        ErrorReason::DeadlineExceeded => Code::DeadlineExceeded,
        ErrorReason::UnknownMethod | ErrorReason::UnsupportedEncoding => Code::Unimplemented,
        ErrorReason::Internal | ErrorReason::Unspecified => Code::Internal,
    }
}

/// Whether the same call may succeed later.
fn retry_helps(reason: ErrorReason) -> bool {
    matches!(
        reason,
        ErrorReason::Overloaded
            | ErrorReason::DatabaseUnavailable
            | ErrorReason::ShuttingDown
            | ErrorReason::RequestInProgress
            | ErrorReason::DatabaseBusy
    )
}

/// The status of a reason, with its details. The metadata names what the error is about.
pub fn status(reason: ErrorReason, message: impl Into<String>, metadata: HashMap<String, String>) -> Status {
    let message = shortened(&message.into(), MESSAGE_CHARACTERS);
    let mut details = ErrorDetails::new();
    details.set_error_info(name(reason), DOMAIN, metadata.clone());
    if retry_helps(reason) {
        details.set_retry_info(Some(RETRY_DELAY));
    }
    if code(reason) == Code::FailedPrecondition {
        let subject = metadata.get("run_id").or(metadata.get("session_id")).or(metadata.get("worker_id"));
        details.add_precondition_failure_violation(name(reason), subject.cloned().unwrap_or_default(), message.clone());
    }
    Status::with_error_details(code(reason), message, details)
}

/// The status of an error.
pub fn status_of(error: impl Into<EngineError>) -> Status {
    match error.into() {
        EngineError::Invalid(violations) => invalid(&violations),
        EngineError::Refused(refusal) => refused(&refusal),
        error @ EngineError::Overloaded => status(ErrorReason::Overloaded, error.to_string(), HashMap::new()),
        error @ EngineError::ShuttingDown => status(ErrorReason::ShuttingDown, error.to_string(), HashMap::new()),
        EngineError::Store(error) => store_status(&error),
    }
}

fn invalid(violations: &Violations) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(name(ErrorReason::InvalidField), DOMAIN, HashMap::new());
    let (mut shown, mut size) = (Vec::new(), 0);
    for violation in &violations.0 {
        let field = shortened(&violation.field, VIOLATION_CHARACTERS);
        let description = shortened(&violation.description, VIOLATION_CHARACTERS);
        size += field.len() + description.len() + 8;
        if size > DETAIL_BYTES && !shown.is_empty() {
            break;
        }
        shown.push(if field.is_empty() { description.clone() } else { format!("{field}: {description}") });
        details.add_bad_request_violation(field, description);
    }
    let rest = if shown.len() < violations.0.len() { " (and more)" } else { "" };
    let message = shortened(&shown.join("; "), MESSAGE_CHARACTERS) + rest;
    Status::with_error_details(code(ErrorReason::InvalidField), message, details)
}

fn refused(refusal: &Refusal) -> Status {
    status(reason(refusal), refusal.to_string(), subject(refusal))
}

/// The reason of a refusal in the contract.
pub fn reason(refusal: &Refusal) -> ErrorReason {
    match refusal {
        Refusal::NotFound { resource: Resource::Session, .. } => ErrorReason::SessionNotFound,
        Refusal::NotFound { resource: Resource::Run, .. } => ErrorReason::RunNotFound,
        Refusal::NotFound { resource: Resource::Worker, .. } => ErrorReason::WorkerNotFound,
        Refusal::NotFound { resource: Resource::Artifact, .. } => ErrorReason::ArtifactNotFound,
        Refusal::SessionClosed(_) => ErrorReason::SessionClosed,
        Refusal::RequestIdReused(_) => ErrorReason::RequestIdReused,
        Refusal::RequestInProgress(_) => ErrorReason::RequestInProgress,
        Refusal::LeaseLost { .. } => ErrorReason::LeaseLost,
        Refusal::OutcomeConflict { .. } => ErrorReason::OutcomeConflict,
        Refusal::WorkerDraining(_) => ErrorReason::WorkerDraining,
        Refusal::PageTokenInvalid => ErrorReason::PageTokenInvalid,
        Refusal::ResumeTokenInvalid => ErrorReason::ResumeTokenInvalid,
        Refusal::RevisionCompacted => ErrorReason::RevisionCompacted,
        Refusal::ProtocolViolation(_) => ErrorReason::ProtocolViolation,
        Refusal::EventCreditsExceeded { .. } => ErrorReason::EventCreditsExceeded,
        Refusal::StreamReplaced => ErrorReason::StreamReplaced,
    }
}

/// The status of a call that has not passed the layer that finds the caller: the routes are put together wrongly.
pub fn no_caller() -> Status {
    status_of(StoreError::defect("a call has no caller"))
}

/// Turns the status of a message that the gRPC library could not decode into INVALID_FIELD. Any other status stays as it is.
pub fn unreadable(status: Status) -> Status {
    match status.code() {
        Code::Internal | Code::OutOfRange if status.details().is_empty() => {
            let (field, why) = undecoded_field(status.message());
            status_of(Violations::one(field, format!("expected a readable message: {why}")))
        }
        _ => status,
    }
}

/// The field that could not be decoded, as far as the decoder names it, and why. The decoder names the innermost first, as in
/// `failed to decode Protobuf message: RunSpec.kind: EnqueueRunRequest.run: invalid string value`.
fn undecoded_field(message: &str) -> (String, &str) {
    let mut rest = message.strip_prefix("failed to decode Protobuf message: ").unwrap_or(message);
    let mut path = Vec::new();
    while let Some((place, why)) = rest.split_once(": ") {
        let Some((message, field)) = place.split_once('.').filter(|_| !place.contains(' ')) else { break };
        // Inside a structure the contract has no names.
        if !["Struct", "Value", "ListValue"].contains(&message) {
            path.push(field);
        }
        rest = why;
    }
    path.reverse();
    (path.join("."), rest)
}

/// Puts a status of the gRPC library, about a call that no service has received, into the terms of this API. `None` if the status can
/// stay as it is.
pub fn of_transport(status: Status, path: &str, encoding: Option<&str>) -> Option<Status> {
    match (status.code(), encoding.filter(|encoding| *encoding != "identity")) {
        (Code::Unimplemented, Some(encoding)) => Some(unsupported_encoding(encoding, status.metadata().clone())),
        (Code::Unimplemented, None) => Some(unknown_method(path)),
        (code, _) => Some(unreadable(status)).filter(|status| status.code() != code),
    }
}

/// Puts a status of the gRPC library, about an answer that it could not send, into the terms of this API. `None` if the status can stay as
/// it is.
pub fn of_answer(status: Status) -> Option<Status> {
    match status.code() {
        // Details would say so if this were a status of this API.
        Code::OutOfRange | Code::ResourceExhausted => {
            let why = status.message().rsplit_once("too large: ").map_or(status.message(), |(_, why)| why);
            let message = format!("the answer is too large: {why}");
            Some(self::status(ErrorReason::AnswerTooLarge, message, HashMap::new()))
        }
        Code::Internal | Code::Unknown => Some(status_of(StoreError::defect(status.message().to_owned()))),
        _ => None,
    }
}

/// The method of a call does not exist.
pub fn unknown_method(path: &str) -> Status {
    let path = shortened(path, VIOLATION_CHARACTERS);
    let metadata = HashMap::from([("method".to_owned(), path.clone())]);
    status(ErrorReason::UnknownMethod, format!("there is no method {path}"), metadata)
}

/// The messages of a call are compressed in a way that the server does not support. The metadata list what it supports.
fn unsupported_encoding(encoding: &str, metadata: MetadataMap) -> Status {
    let encoding = excerpt(encoding);
    let mut details = ErrorDetails::new();
    let subject = HashMap::from([("encoding".to_owned(), encoding.clone())]);
    details.set_error_info(name(ErrorReason::UnsupportedEncoding), DOMAIN, subject);
    let message = format!("expected messages that are not compressed, got the encoding {encoding}");
    Status::with_error_details_and_metadata(code(ErrorReason::UnsupportedEncoding), message, details, metadata)
}

/// The call's own deadline has passed.
pub fn deadline_exceeded(deadline: Duration) -> Status {
    let message = format!("the deadline of the call has passed: it was {deadline:?}");
    status(ErrorReason::DeadlineExceeded, message, HashMap::new())
}

/// The message of the call did not arrive in time.
pub fn received_too_slowly(timeout: Duration) -> Status {
    let message = format!("expected the whole message within {timeout:?}");
    status(ErrorReason::DeadlineExceeded, message, HashMap::new())
}

/// The status of an error of the database. A defect is logged here, once; its text stays in the log.
fn store_status(error: &StoreError) -> Status {
    let unavailable = |message: &str| status(ErrorReason::DatabaseUnavailable, message, HashMap::new());
    let busy = |message: &str| status(ErrorReason::DatabaseBusy, message, HashMap::new());
    match error {
        StoreError::Unavailable(_) => unavailable("the database is not available"),
        StoreError::CommitUnknown(_) => unavailable(
            "the connection to the database was lost during the commit, so the outcome of the call is unknown",
        ),
        StoreError::LockTimeout | StoreError::RequestHeld => {
            busy("another transaction in the database holds a lock that this call needs")
        }
        StoreError::StatementCancelled(_) => busy("a statement took too long in the database, or was cancelled"),
        StoreError::Serialization(_) => busy("this call conflicted with other transactions in the database"),
        StoreError::Overloaded => status(ErrorReason::Overloaded, error.to_string(), HashMap::new()),
        StoreError::Constraint { .. } | StoreError::Stale { .. } | StoreError::Defect(_) => {
            let request = Uuid::new_v4().to_string();
            tracing::error!(%request, %error, "request failed by a defect");
            let metadata = HashMap::from([("request".to_owned(), request)]);
            status(ErrorReason::Internal, "internal error", metadata)
        }
    }
}

/// What a refusal is about, for the metadata.
fn subject(refusal: &Refusal) -> HashMap<String, String> {
    let entry = |key: &str, value: &dyn ToString| (key.to_owned(), value.to_string());
    let entries = match refusal {
        Refusal::NotFound { resource, id } => vec![entry(&format!("{}_id", resource.as_str()), id)],
        Refusal::SessionClosed(id) => vec![entry("session_id", id)],
        Refusal::RequestIdReused(id) | Refusal::RequestInProgress(id) => vec![entry("request_id", id)],
        Refusal::LeaseLost { run_id, fence } | Refusal::OutcomeConflict { run_id, fence } => {
            vec![entry("run_id", run_id), entry("fence", fence)]
        }
        Refusal::WorkerDraining(id) => vec![entry("worker_id", id)],
        Refusal::EventCreditsExceeded { sent, credits } => vec![entry("sent", sent), entry("credits", credits)],
        Refusal::PageTokenInvalid
        | Refusal::ResumeTokenInvalid
        | Refusal::RevisionCompacted
        | Refusal::ProtocolViolation(_)
        | Refusal::StreamReplaced => vec![],
    };
    entries.into_iter().collect()
}

/// The name of a reason, without its prefix: the word that clients read.
pub fn name(reason: ErrorReason) -> &'static str {
    reason.as_str_name().trim_start_matches(PREFIX)
}

/// The reason of a status that this API has made.
pub fn reason_of(status: &Status) -> Option<ErrorReason> {
    let info = status.get_details_error_info().filter(|info| info.domain == DOMAIN)?;
    ErrorReason::from_str_name(&format!("{PREFIX}{}", info.reason))
}

fn shortened(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use proto::v1;

    use super::*;

    fn refusals() -> Vec<Refusal> {
        let (run_id, fence) = (Uuid::max(), 7);
        let resources = [Resource::Session, Resource::Run, Resource::Worker, Resource::Artifact];
        let mut all: Vec<Refusal> = resources.map(|resource| Refusal::not_found(resource, run_id)).to_vec();
        all.extend([
            Refusal::SessionClosed(run_id),
            Refusal::RequestIdReused("r".into()),
            Refusal::RequestInProgress("r".into()),
            Refusal::LeaseLost { run_id, fence },
            Refusal::OutcomeConflict { run_id, fence },
            Refusal::WorkerDraining(run_id),
            Refusal::PageTokenInvalid,
            Refusal::ResumeTokenInvalid,
            Refusal::RevisionCompacted,
            Refusal::ProtocolViolation("p".into()),
            Refusal::EventCreditsExceeded { sent: 2, credits: 1 },
            Refusal::StreamReplaced,
        ]);
        all
    }

    #[test]
    fn each_refusal_has_its_reason_and_names_what_it_is_about() {
        for refusal in refusals() {
            let status = status_of(refusal.clone());
            let info = status.get_details_error_info().expect("error info");
            assert_eq!((info.reason.as_str(), info.domain.as_str()), (name(reason(&refusal)), "ops"));
            assert_ne!(status.code(), Code::Internal, "{refusal:?}");
            let precondition = status.get_details_precondition_failure().is_some();
            assert_eq!(precondition, status.code() == Code::FailedPrecondition, "{refusal:?}");
        }
    }

    #[test]
    fn violations_are_reported_with_their_fields() {
        let mut violations = Violations::one("run.kind", "required");
        violations.add("run.lane", "unknown");
        let status = status_of(violations);
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "run.kind: required; run.lane: unknown");
        let bad = status.get_details_bad_request().expect("bad request");
        assert_eq!(bad.field_violations.iter().map(|v| v.field.as_str()).collect::<Vec<_>>(), ["run.kind", "run.lane"]);
    }

    #[test]
    fn an_answer_with_many_violations_fits_into_a_header() {
        let mut violations = Violations::default();
        for index in 0..100 {
            violations.add(format!("runs[{index}].kind"), "é".repeat(10_000));
        }
        let status = status_of(violations);
        assert!(status.details().len() < 4_096, "{}", status.details().len());
        assert!(status.message().len() < 2_048);
        assert!(status.message().ends_with("(and more)"));
    }

    #[test]
    fn an_outage_says_when_to_try_again_and_a_defect_does_not_show_its_text() {
        let outage = status_of(EngineError::Store(StoreError::Unavailable("10.0.0.7 refused".into())));
        assert_eq!(outage.code(), Code::Unavailable);
        assert_eq!(outage.get_details_retry_info().and_then(|retry| retry.retry_delay), Some(RETRY_DELAY));
        let defect = status_of(EngineError::Store(StoreError::defect("secret")));
        assert_eq!((defect.code(), defect.message()), (Code::Internal, "internal error"));
        assert!(defect.get_details_error_info().expect("error info").metadata.contains_key("request"));
        assert!([outage, defect].iter().all(|status| !status.message().contains("10.0.0.7")));
    }

    #[test]
    fn a_lock_or_a_slow_statement_is_no_outage() {
        for error in [
            StoreError::LockTimeout,
            StoreError::RequestHeld,
            StoreError::StatementCancelled("statement timeout".into()),
            StoreError::Serialization("deadlock".into()),
        ] {
            assert!(error.is_passing() && !error.is_outage());
            let busy = status_of(error);
            let info = busy.get_details_error_info().expect("error info");
            assert_eq!((busy.code(), info.reason.as_str()), (Code::Aborted, "DATABASE_BUSY"));
            assert_eq!(busy.get_details_retry_info().and_then(|retry| retry.retry_delay), Some(RETRY_DELAY));
        }
    }

    #[test]
    fn a_message_that_can_not_be_decoded_is_bad_input() {
        let status = unreadable(Status::new(Code::Internal, "failed to decode Protobuf message"));
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.get_details_error_info().expect("error info").reason, "INVALID_FIELD");
        // A run whose kind is not UTF-8.
        let error = v1::EnqueueRunRequest::decode(&[0x0a, 3, 0x22, 1, 0xff][..]).expect_err("not UTF-8");
        let nested = error.to_string();
        let (field, why) = undecoded_field(&nested);
        assert_eq!((field.as_str(), why), ("run.kind", "invalid string value: data is not UTF-8 encoded"));
        assert_eq!(undecoded_field("Error, decoded message: 5.5"), (String::new(), "Error, decoded message: 5.5"));
        let own = status_of(EngineError::Store(StoreError::defect("x")));
        assert_eq!(unreadable(own).code(), Code::Internal);
    }
}
