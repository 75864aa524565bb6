//! The ways in which an attempt does not succeed.

use std::{fmt, time::Duration};

use serde_json::Value;

/// Why an attempt did not succeed. Every error converts into it, so `?` works in handlers. It is not an error itself.
#[derive(Clone, Debug, PartialEq)]
pub enum HandlerError {
    /// The attempt failed.
    Failed(Box<Failure>),
    /// The handler stopped because the worker asked it to. Without such a request it is a failure.
    Cancelled,
    /// The run is offered again after this time, at most 30 days, and this attempt does not count.
    Snooze(Duration),
    /// This worker lacks what the run needs, such as file descriptors, and the handler has done nothing of it. The text says what. The
    /// run is offered again and this attempt does not count; the worker takes no runs for a while.
    Shortage(String),
}

/// A failure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Failure {
    /// The class of the error, such as `ExitStatus`.
    pub error_type: String,
    /// The message, for people.
    pub message: String,
    /// The stack trace, or empty.
    pub stack: String,
    /// More data, as a JSON object.
    pub context: Option<Value>,
    /// True if another attempt can not succeed.
    pub permanent: bool,
}

impl Failure {
    pub(crate) fn new(error_type: impl Into<String>, message: impl Into<String>) -> Self {
        Self { error_type: error_type.into(), message: message.into(), ..Self::default() }
    }
}

impl HandlerError {
    /// The attempt failed; another one may succeed.
    pub fn failed(error_type: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Failed(Box::new(Failure::new(error_type, message)))
    }

    /// The params are wrong: a permanent failure of type `InvalidParams`.
    pub fn invalid_params(message: impl Into<String>) -> Self {
        Self::failed("InvalidParams", message).permanent()
    }

    /// Marks the failure as permanent: another attempt can not succeed.
    #[must_use]
    pub fn permanent(self) -> Self {
        self.edit(|failure| failure.permanent = true)
    }

    /// Adds a stack trace.
    #[must_use]
    pub fn with_stack(self, stack: impl Into<String>) -> Self {
        self.edit(|failure| failure.stack = stack.into())
    }

    /// Adds data: a JSON object of up to 64 KiB.
    #[must_use]
    pub fn with_context(self, context: Value) -> Self {
        self.edit(|failure| failure.context = Some(context))
    }

    fn edit(mut self, edit: impl FnOnce(&mut Failure)) -> Self {
        if let Self::Failed(failure) = &mut self {
            edit(failure);
        }
        self
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(failure) => write!(f, "{}: {}", failure.error_type, failure.message),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Snooze(delay) => write!(f, "snoozed for {}", humantime::format_duration(*delay)),
            Self::Shortage(reason) => write!(f, "the worker can not execute it now: {reason}"),
        }
    }
}

impl<E: std::error::Error> From<E> for HandlerError {
    fn from(error: E) -> Self {
        // With its path, `std::io::error::Error`, the name says more than `Error`; generic arguments add nothing.
        let full = std::any::type_name::<E>();
        let name = full.split('<').next().unwrap_or(full);
        let causes: Vec<Value> = std::iter::successors(error.source(), |cause| cause.source())
            .map(|cause| Value::String(cause.to_string()))
            .collect();
        let failed = Self::failed(name, error.to_string());
        if causes.is_empty() { failed } else { failed.with_context(serde_json::json!({ "causes": causes })) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_error_becomes_a_failure_with_its_causes() {
        fn read() -> Result<(), HandlerError> {
            Err(std::io::Error::other("disk full"))?;
            Ok(())
        }
        let HandlerError::Failed(failure) = read().unwrap_err() else { panic!("expected a failure") };
        assert_eq!((failure.error_type.as_str(), failure.message.as_str()), ("std::io::error::Error", "disk full"));
        assert!(!failure.permanent);
    }
}
