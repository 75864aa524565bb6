//! The failures of a request. No text here contains a header value, a part of a body, or more of a URL than `Shown`.

use std::{fmt, io, time::Duration};

use hyper::StatusCode;
use url::Url;
use worker::{HandlerError, is_shortage};

/// A URL without user, password, query and fragment, which may be secrets.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shown(String);

impl From<&Url> for Shown {
    fn from(url: &Url) -> Self {
        Self(format!("{}{}", url.origin().ascii_serialization(), url.path()))
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The phase of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Phase {
    #[default]
    Connecting,
    WaitingForTheAnswer,
    ReadingTheBody,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::WaitingForTheAnswer => "waiting for the answer",
            Self::ReadingTheBody => "reading the body",
        }
    }
}

/// The reason why a request failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("its address is {0}, which this worker may call only if --http-allow names it")]
    ForbiddenAddress(&'static str),
    #[error("its name was not found: {0}")]
    Name(io::Error),
    #[error("no connection: {0}")]
    Connect(io::Error),
    #[error("no TLS connection: {0}")]
    Tls(io::Error),
    #[error("took longer than {} while {}", humantime::format_duration(*.1), .0.name())]
    Timeout(Phase, Duration),
    #[error("the exchange broke off: {0}")]
    Protocol(#[from] hyper::Error),
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    #[error("it redirects {0}")]
    Redirect(String),
    #[error("expected {expected}, got {status}")]
    Status { expected: String, status: StatusCode },
}

impl HttpError {
    /// The reported type.
    fn class(&self) -> &'static str {
        match self {
            Self::ForbiddenAddress(_) => "HttpForbiddenAddress",
            Self::Name(_) | Self::Connect(_) => "HttpConnect",
            Self::Tls(_) => "HttpTls",
            Self::Timeout(..) => "HttpTimeout",
            Self::Protocol(_) => "HttpProtocol",
            Self::TooLarge(_) => "HttpTooLarge",
            Self::Redirect(_) => "HttpRedirect",
            Self::Status { .. } => "HttpStatus",
        }
    }

    /// Whether the same request would probably fail again.
    fn is_permanent(&self) -> bool {
        match self {
            Self::ForbiddenAddress(_) | Self::TooLarge(_) | Self::Redirect(_) => true,
            Self::Status { status, .. } => !is_temporary(*status),
            _ => false,
        }
    }

    /// Whether this worker lacks what a connection needs, such as a file descriptor.
    fn is_shortage(&self) -> bool {
        match self {
            Self::Connect(error) | Self::Tls(error) => is_shortage(error),
            // The resolver of the system does not say why it could not ask.
            Self::Name(error) => is_shortage(error) || is_out_of_descriptors(),
            _ => false,
        }
    }

    /// The error that the handler returns.
    pub(super) fn into_failure(self, at: &Shown) -> HandlerError {
        if self.is_shortage() {
            return HandlerError::Shortage(self.to_string());
        }
        let failed = HandlerError::failed(self.class(), format!("{at}: {self}"));
        if self.is_permanent() { failed.permanent() } else { failed }
    }
}

/// Whether no file can be opened.
fn is_out_of_descriptors() -> bool {
    std::fs::File::open("/dev/null").is_err_and(|error| is_shortage(&error))
}

/// Whether a later request may get another status.
pub(super) fn is_temporary(status: StatusCode) -> bool {
    const TOO_EARLY: u16 = 425;
    status.is_server_error()
        || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status)
        || status.as_u16() == TOO_EARLY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_is_not_shown() {
        let url = Url::parse("https://user:pass@Example.com:8443/a/b?key=secret#part").unwrap();
        assert_eq!(Shown::from(&url).to_string(), "https://example.com:8443/a/b");
    }

    #[test]
    fn a_temporary_status_is_tried_again() {
        let temporary = |code| is_temporary(StatusCode::from_u16(code).unwrap());
        assert!([408, 425, 429, 500, 502, 503, 504, 599].into_iter().all(temporary));
        assert!(![200, 301, 400, 401, 403, 404, 409, 410, 422].into_iter().any(temporary));
    }
}
