//! Errors on standard error: the message, the wrong fields, the API's reason, and what to do about it.

use std::{
    fmt::{self, Write as _},
    io::{self, Write},
    time::Duration,
};

use client::{Refusal, Violation};
use tonic::{Code, Status, transport};

use crate::{
    args::target::ServerAddress,
    config::{ConfigError, Origins},
    exit::Exit,
    output::{Unwritten, text, times},
};

/// A command line that clap accepts and that is still wrong.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(Wrong::to_string).collect::<Vec<_>>().join("; "))]
pub(crate) struct UsageError(Vec<Wrong>);

/// One mistake, and its setting if it concerns a single one.
#[derive(Debug)]
struct Wrong {
    key: Option<String>,
    what: String,
}

impl UsageError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(vec![Wrong { key: None, what: message.into() }])
    }

    /// One mistake for each of these settings. A setting is named by its flag without dashes.
    pub(crate) fn settings(wrong: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(wrong.into_iter().map(|(key, what)| Wrong { key: Some(key), what }).collect())
    }

    /// One line for each mistake, with the place where its setting was chosen.
    pub(crate) fn lines<'a>(&'a self, origins: &'a Origins) -> impl Iterator<Item = String> + 'a {
        self.0.iter().map(|wrong| match wrong.key.as_deref().and_then(|key| origins.place_of(key)) {
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

/// The run did not end within the time limit.
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

/// The server failed at this database.
#[derive(Debug, thiserror::Error)]
#[error("{error}{}", if matches!(error, server::Error::Migrate(_)) { format!(" ({place})") } else { String::new() })]
pub(crate) struct AtDatabase {
    /// Where the database is, without secrets.
    pub(crate) place: String,
    pub(crate) error: server::Error,
}

/// Prints the error on standard error, and returns the exit status.
pub(crate) fn report(error: &anyhow::Error, origins: &Origins) -> Exit {
    // A pipe also breaks in a connection to a server. That is no success, so only standard output counts.
    if error.chain().any(|cause| cause.downcast_ref().is_some_and(Unwritten::is_closed_pipe)) {
        return Exit::Success;
    }
    // Standard error may be closed as well. Then nobody can read the message.
    let _ = io::stderr().lock().write_all(describe(error, origins).as_bytes());
    if error.is::<UsageError>() || error.is::<ConfigError>() || error.is::<clap::Error>() {
        Exit::Usage
    } else if error.is::<TimedOut>() {
        Exit::Timeout
    } else if let Some(status) = error.chain().find_map(|cause| cause.downcast_ref::<Status>()) {
        let refusal = Refusal::from(status);
        if refusal.is_transient() { Exit::Unavailable } else { Exit::of_code(refusal.code) }
    } else if error.chain().any(|cause| cause.is::<Unreachable>()) {
        Exit::Unavailable
    } else {
        Exit::Error
    }
}

/// The error in one line, for a message within other output.
pub(crate) fn brief(status: &Status) -> String {
    let message = if status.message().is_empty() { status.code().description() } else { status.message() };
    match client::reason(status) {
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
                    cause.downcast_ref::<UsageError>().map(|it| it.lines(origins).collect::<Vec<_>>().join("; "));
                causes.push(text::block(&usage.unwrap_or_else(|| cause.to_string())));
            }
        }
    }
    // Many libraries repeat the message of the cause in their own.
    causes.dedup_by(|cause, message| message.contains(cause.as_str()));
    lines.push_str(&causes.join(": "));
    lines.push('\n');
    let refusal = status.map(Refusal::from);
    // The message often has them already.
    let said = lines.clone();
    let more = |violation: &&Violation| !said.contains(&text::line(&violation.description));
    for violation in refusal.iter().flat_map(|refusal| &refusal.violations).filter(more) {
        // Writing to a String can not fail.
        let _ = writeln!(lines, "  {}: {}", text::line(&violation.subject), text::line(&violation.description));
    }
    if let Some(advice) = advice(error, refusal.as_ref()) {
        // Writing to a String can not fail.
        let _ = writeln!(lines, "hint: {advice}");
    }
    lines
}

fn advice(error: &anyhow::Error, refusal: Option<&Refusal>) -> Option<String> {
    if let Some(unreachable) = error.chain().find_map(|cause| cause.downcast_ref::<Unreachable>()) {
        return Some(format!(
            "is it running at {}? start one with `ops dev`, or name another with --server or OPS_SERVER",
            unreachable.address
        ));
    }
    if let Some(AtDatabase { error: server::Error::Migrate(_), .. }) = error.downcast_ref() {
        return Some(
            "`ops doctor` with the same --database-url-file or --database-url says what is wrong with this database, and how to mend it"
                .to_owned(),
        );
    }
    let refusal = refusal?;
    match refusal.reason.as_deref() {
        Some("SESSION_NOT_FOUND") => Some("`ops session list` shows all sessions".to_owned()),
        Some("SESSION_CLOSED") => Some("enqueue into another session, or with --new-session".to_owned()),
        Some("RUN_NOT_FOUND") => Some("`ops run list` shows all runs".to_owned()),
        Some("WORKER_NOT_FOUND") => Some("`ops worker list` shows all workers".to_owned()),
        Some("REQUEST_ID_REUSED") => {
            Some("this --request-id was used with other values; choose another one".to_owned())
        }
        Some("REVISION_COMPACTED") => Some("the token is too old; watch again with --snapshot".to_owned()),
        Some("DATABASE_BUSY") => {
            Some("try again; `ops doctor --database-url-file FILE` names the transaction that is in the way".to_owned())
        }
        Some("DATABASE_UNAVAILABLE") => Some(
            "the server runs, but can not use its database now; try again, or see why: `ops doctor --server ADDRESS`"
                .to_owned(),
        ),
        Some("INTERNAL") => {
            let request = refusal.metadata.get("request");
            request.map(|request| format!("the server's log has more under request {}", text::line(request)))
        }
        Some(_) => refusal.retry_delay.map(|delay| format!("try again in {}", times::span(delay))),
        None if refusal.code == Code::Unavailable => {
            Some("the connection was lost; is the server still running?".to_owned())
        }
        None if refusal.is_transient() => Some(
            "the connection was lost, or the program that answers there is not a server of Ops Control Room".to_owned(),
        ),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use anyhow::Context;
    use tonic_types::{ErrorDetails, StatusExt};

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
    fn nothing_is_said_twice() {
        let mut details = ErrorDetails::new();
        details.add_precondition_failure_violation("SESSION_CLOSED", "0190", "it is wrong");
        let text = described(&status(Code::FailedPrecondition, "SESSION_CLOSED", details));
        assert_eq!(text.matches("it is wrong").count(), 1, "{text}");
    }

    #[test]
    fn an_error_says_what_to_do() {
        let text = described(&status(Code::NotFound, "RUN_NOT_FOUND", ErrorDetails::new()));
        assert!(text.ends_with("hint: `ops run list` shows all runs\n"), "{text}");
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
    fn each_kind_of_error_has_its_exit_status() {
        let usage = anyhow::Error::from(UsageError::new("no")).context("while reading");
        assert_eq!(reported(&usage), Exit::Usage);
        let timed_out = TimedOut { run_id: "0190".to_owned(), limit: Duration::from_secs(2) };
        assert_eq!(timed_out.to_string(), "run 0190 has not ended after 2s");
        assert_eq!(reported(&timed_out.into()), Exit::Timeout);
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        let closed: anyhow::Result<()> = Err(Unwritten(broken())).context("can not print");
        assert_eq!(reported(&closed.unwrap_err()), Exit::Success);
        let lost = anyhow::Error::from(Status::from_error(Box::new(broken()))).context("while calling");
        assert_eq!(reported(&lost), Exit::Unavailable, "the pipe of a connection");
        assert_eq!(reported(&anyhow::anyhow!("else")), Exit::Error);
        let lost = anyhow::Error::from(Status::unknown("h2 protocol error")).context("while watching");
        assert_eq!(reported(&lost), Exit::Unavailable);
        assert_eq!(reported(&status(Code::Unknown, "INTERNAL", ErrorDetails::new())), Exit::Error);
        for reason in ["REQUEST_IN_PROGRESS", "DATABASE_BUSY"] {
            let passing = status(Code::Aborted, reason, ErrorDetails::new());
            assert_eq!(reported(&passing), Exit::Unavailable, "{reason}");
        }
    }
}
