//! What went wrong, told on standard error: the message, the fields that were wrong, the reason by which the API knows it,
//! and what to do about it.

use std::{
    error::Error,
    fmt::{self, Write as _},
    io::{self, Write},
    time::Duration,
};

use tonic::{Code, Status, transport};
use tonic_types::StatusExt;

use crate::{
    args::target::ServerAddress,
    config::{ConfigError, Origins},
    exit::Exit,
    output::{text, times},
};

/// The command line is understood by clap, and still wrong.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(Wrong::to_string).collect::<Vec<_>>().join("; "))]
pub(crate) struct UsageError(Vec<Wrong>);

/// What is wrong, and with which setting if it is one alone.
#[derive(Debug)]
struct Wrong {
    key: Option<String>,
    what: String,
}

impl UsageError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(vec![Wrong { key: None, what: message.into() }])
    }

    /// What is wrong with each of these settings, which are named by their flags without dashes.
    pub(crate) fn settings(wrong: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(wrong.into_iter().map(|(key, what)| Wrong { key: Some(key), what }).collect())
    }

    /// The same in as many lines as things are wrong, each with where its setting was chosen.
    pub(crate) fn told<'a>(&'a self, origins: &'a Origins) -> impl Iterator<Item = String> + 'a {
        self.0.iter().map(|wrong| match wrong.key.as_deref().and_then(|key| origins.told(key)) {
            Some(origin) => format!("{wrong} (from {origin})"),
            None => wrong.to_string(),
        })
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "--{key}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// The time to wait is over.
#[derive(Debug, thiserror::Error)]
#[error("run {run_id} has not ended after {}", humantime::format_duration(*.limit))]
pub(crate) struct TimedOut {
    pub(crate) run_id: String,
    pub(crate) limit: Duration,
}

/// No connection to the server.
#[derive(Debug, thiserror::Error)]
#[error("can not reach the server at {address}")]
pub(crate) struct Unreachable {
    pub(crate) address: ServerAddress,
    pub(crate) source: transport::Error,
}

/// The server has failed, on a database that was named on the command line.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct AtDatabase(pub(crate) server::Error);

/// Says on standard error what went wrong, and with what to exit.
pub(crate) fn report(error: &anyhow::Error, origins: &Origins) -> Exit {
    if error.chain().any(is_closed_pipe) {
        // Who read our output has seen enough.
        return Exit::Success;
    }
    // Standard error may be closed as well; then there is nobody to tell.
    let _ = io::stderr().lock().write_all(describe(error, origins).as_bytes());
    if error.is::<UsageError>() || error.is::<ConfigError>() || error.is::<clap::Error>() {
        Exit::Usage
    } else if error.is::<TimedOut>() {
        Exit::Timeout
    } else if let Some(status) = error.chain().find_map(|cause| cause.downcast_ref::<Status>()) {
        // What was made on the way means that the connection was lost.
        if is_transient(status) && reason(status).is_none() { Exit::Unavailable } else { Exit::of_code(status.code()) }
    } else if error.chain().any(|cause| cause.is::<Unreachable>()) {
        Exit::Unavailable
    } else {
        Exit::Error
    }
}

/// Whether the same call may well be answered later, here or by another replica.
pub(crate) fn is_transient(status: &Status) -> bool {
    match reason(status).as_deref() {
        Some(reason) => {
            matches!(
                reason,
                "DATABASE_UNAVAILABLE" | "DATABASE_BUSY" | "SHUTTING_DOWN" | "OVERLOADED" | "REQUEST_IN_PROGRESS"
            )
        }
        // The server gives a reason with each error, so this one was made on the way: the connection was lost.
        None => matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled),
    }
}

/// The API's name of what went wrong, such as `RUN_NOT_FOUND`; nothing if the error is not the server's own.
pub(crate) fn reason(status: &Status) -> Option<String> {
    status.get_error_details().error_info().map(|info| info.reason.clone())
}

/// The error in one line, for a message within other output.
pub(crate) fn brief(status: &Status) -> String {
    let message = if status.message().is_empty() { status.code().description() } else { status.message() };
    match reason(status) {
        Some(reason) => format!("{} ({})", text::line(message), text::line(&reason)),
        None => text::line(message),
    }
}

fn describe(error: &anyhow::Error, origins: &Origins) -> String {
    if let Some(usage) = error.downcast_ref::<clap::Error>() {
        return usage.to_string();
    }
    let mut lines = String::from("error: ");
    let status = error.chain().find_map(|cause| cause.downcast_ref::<Status>());
    let mut causes = Vec::new();
    for cause in error.chain() {
        match cause.downcast_ref::<Status>() {
            Some(status) => {
                causes.push(brief(status));
                break;
            }
            None => {
                let usage =
                    cause.downcast_ref::<UsageError>().map(|it| it.told(origins).collect::<Vec<_>>().join("; "));
                causes.push(text::block(&usage.unwrap_or_else(|| cause.to_string())));
            }
        }
    }
    // Libraries like to repeat the message of the cause in their own.
    causes.dedup_by(|cause, message| message.contains(cause.as_str()));
    lines.push_str(&causes.join(": "));
    lines.push('\n');
    if let Some(status) = status {
        describe_fields(&mut lines, status);
    }
    if let Some(hint) = hint(error, status) {
        // Writing to a String can not fail.
        let _ = writeln!(lines, "hint: {hint}");
    }
    lines
}

fn describe_fields(lines: &mut String, status: &Status) {
    let details = status.get_error_details();
    if let Some(bad) = details.bad_request() {
        for violation in &bad.field_violations {
            let _ = writeln!(lines, "  {}: {}", text::line(&violation.field), text::line(&violation.description));
        }
    }
    if let Some(failure) = details.precondition_failure() {
        for violation in &failure.violations {
            let _ = writeln!(lines, "  {}: {}", text::line(&violation.subject), text::line(&violation.description));
        }
    }
}

fn hint(error: &anyhow::Error, status: Option<&Status>) -> Option<String> {
    if let Some(unreachable) = error.chain().find_map(|cause| cause.downcast_ref::<Unreachable>()) {
        return Some(format!(
            "is it running at {}? start one with `ops dev`, or name another with --server or OPS_SERVER",
            unreachable.address
        ));
    }
    if let Some(AtDatabase(server::Error::Migrate(_))) = error.downcast_ref() {
        return Some(
            "--database-url or OPS_DATABASE_URL says where it is: does PostgreSQL run there, and may this role change the schema?"
                .to_owned(),
        );
    }
    let status = status?;
    let details = status.get_error_details();
    match details.error_info().map(|info| info.reason.as_str()) {
        Some("SESSION_NOT_FOUND") => Some("`ops session list` shows those that there are".to_owned()),
        Some("SESSION_CLOSED") => Some("enqueue into another session, or with --new-session".to_owned()),
        Some("RUN_NOT_FOUND") => Some("`ops run list` shows those that there are".to_owned()),
        Some("WORKER_NOT_FOUND") => Some("`ops worker list` shows those that there are".to_owned()),
        Some("REQUEST_ID_REUSED") => Some("this --request-id was used with other values; take another one".to_owned()),
        Some("REVISION_COMPACTED") => Some("the token is too old; watch again with --snapshot".to_owned()),
        Some("DATABASE_BUSY") => Some("somebody else keeps it locked in the database; `ops doctor` says who".to_owned()),
        Some("DATABASE_UNAVAILABLE") => Some("the server runs, but its database does not answer; try again".to_owned()),
        Some("INTERNAL") => {
            let request = details.error_info().and_then(|info| info.metadata.get("request").cloned());
            request.map(|request| format!("the server's log has more under request {}", text::line(&request)))
        }
        Some(_) => {
            let delay = details.retry_info().and_then(|info| info.retry_delay);
            delay.map(|delay| format!("try again in {}", times::span(delay)))
        }
        None if status.code() == Code::Unavailable => {
            Some("the connection was lost; is the server still running?".to_owned())
        }
        None if is_transient(status) => {
            Some("the connection was lost, or what answers there is no server of this kind".to_owned())
        }
        None => None,
    }
}

fn is_closed_pipe(cause: &(dyn Error + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use anyhow::Context;
    use tonic_types::ErrorDetails;

    use super::*;

    fn status(code: Code, reason: &str, details: ErrorDetails) -> anyhow::Error {
        let mut details = details;
        details.set_error_info(reason, "ops", HashMap::from([("request".to_owned(), "r1".to_owned())]));
        Status::with_error_details(code, "it is wrong", details).into()
    }

    fn described(error: &anyhow::Error) -> String {
        describe(error, &Origins::default())
    }

    fn reported(error: &anyhow::Error) -> Exit {
        report(error, &Origins::default())
    }

    #[test]
    fn every_field_that_was_wrong_is_named() {
        let mut details = ErrorDetails::new();
        details.add_bad_request_violation("run.kind", "expected 1 to 100 characters, got 0");
        details.add_bad_request_violation("run.lane", "expected a lane\x1b[2J");
        let text = described(&status(Code::InvalidArgument, "INVALID_FIELD", details));
        assert_eq!(
            text,
            "error: it is wrong (INVALID_FIELD)\n  run.kind: expected 1 to 100 characters, got 0\n  run.lane: expected a \
             lane\\u{1b}[2J\n"
        );
    }

    #[test]
    fn an_error_says_what_to_do() {
        let text = described(&status(Code::NotFound, "RUN_NOT_FOUND", ErrorDetails::new()));
        assert!(text.ends_with("hint: `ops run list` shows those that there are\n"), "{text}");
        let text = described(&status(Code::Internal, "INTERNAL", ErrorDetails::new()));
        assert!(text.ends_with("hint: the server's log has more under request r1\n"), "{text}");
        let text = described(&status(
            Code::ResourceExhausted,
            "OVERLOADED",
            ErrorDetails::with_retry_info(Some(Duration::from_secs(2))),
        ));
        assert!(text.ends_with("hint: try again in 2.00 s\n"), "{text}");
    }

    #[test]
    fn an_error_without_a_reason_was_made_on_the_way() {
        assert!(is_transient(&Status::unknown("h2 protocol error")));
        assert!(!is_transient(&Status::unimplemented("")));
        let internal = status(Code::Internal, "INTERNAL", ErrorDetails::new());
        assert!(!is_transient(internal.downcast_ref().unwrap()));
        let closing = status(Code::Unavailable, "SHUTTING_DOWN", ErrorDetails::new());
        assert!(is_transient(closing.downcast_ref().unwrap()));
    }

    #[test]
    fn each_kind_of_error_has_its_exit_status() {
        let usage = anyhow::Error::from(UsageError::new("no")).context("while reading");
        assert_eq!(reported(&usage), Exit::Usage);
        let timed_out = TimedOut { run_id: "0190".to_owned(), limit: Duration::from_secs(2) };
        assert_eq!(timed_out.to_string(), "run 0190 has not ended after 2s");
        assert_eq!(reported(&timed_out.into()), Exit::Timeout);
        let closed: anyhow::Result<()> = Err(io::Error::from(io::ErrorKind::BrokenPipe)).context("can not print");
        assert_eq!(reported(&closed.unwrap_err()), Exit::Success);
        assert_eq!(reported(&anyhow::anyhow!("else")), Exit::Error);
        let lost = anyhow::Error::from(Status::unknown("h2 protocol error")).context("while watching");
        assert_eq!(reported(&lost), Exit::Unavailable);
        assert_eq!(reported(&status(Code::Unknown, "INTERNAL", ErrorDetails::new())), Exit::Error);
        assert_eq!(
            reported(&status(Code::Aborted, "REQUEST_IN_PROGRESS", ErrorDetails::new())),
            Exit::NotFoundOrConflict
        );
    }
}
