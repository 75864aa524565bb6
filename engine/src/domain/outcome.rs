//! The outcome of a grant. `run_next` says which status its run gets then.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::domain::RunError;
use crate::domain::json::value::spelling;
use crate::domain::run_next::GrantEnd;

/// How a grant ended, as its worker reports it.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The result is a JSON value, as text.
    Succeeded {
        result: String,
    },
    /// `permanent`: another attempt can not help.
    Failed {
        error: RunError,
        permanent: bool,
    },
    Cancelled {
        error: Option<RunError>,
    },
    /// The run is offered again after the delay. The attempt does not count.
    Snoozed {
        delay: Duration,
    },
}

impl Outcome {
    /// The end of the grant, as `run_next` needs it.
    pub fn end(&self) -> GrantEnd {
        match self {
            Outcome::Succeeded { .. } => GrantEnd::Succeeded,
            Outcome::Failed { permanent: false, .. } => GrantEnd::Failed,
            Outcome::Failed { permanent: true, .. } => GrantEnd::FailedPermanently,
            Outcome::Cancelled { .. } => GrantEnd::Cancelled,
            Outcome::Snoozed { .. } => GrantEnd::Snoozed,
        }
    }

    /// The word in SQL.
    pub fn as_str(&self) -> &'static str {
        self.end().as_str()
    }

    /// Tells a repeated report from another one. Each part comes after its length, so that two different outcomes never give the same
    /// bytes. A result counts as it is spelled: results are many and large, so the database compares the values of two that differ.
    pub fn hash(&self) -> Vec<u8> {
        let mut hasher = Sha256::new();
        let mut part = |text: &str| {
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        };
        part(self.as_str());
        match self {
            Outcome::Succeeded { result } => part(result),
            Outcome::Failed { error, .. } | Outcome::Cancelled { error: Some(error) } => {
                [&error.kind, &error.message, &error.stack].into_iter().for_each(|text| part(text));
                part(&spelling(&error.context));
            }
            Outcome::Cancelled { error: None } => {}
            Outcome::Snoozed { delay } => part(&delay.as_millis().to_string()),
        }
        hasher.finalize().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error() -> RunError {
        RunError { kind: "E".into(), message: "m".into(), stack: String::new(), context: String::new() }
    }

    #[test]
    fn different_outcomes_have_different_hashes() {
        let all = [
            Outcome::Succeeded { result: "1".into() },
            Outcome::Succeeded { result: "2".into() },
            Outcome::Failed { error: error(), permanent: false },
            Outcome::Failed { error: error(), permanent: true },
            Outcome::Failed {
                error: RunError { message: String::new(), stack: "m".into(), ..error() },
                permanent: false,
            },
            Outcome::Cancelled { error: None },
            Outcome::Cancelled { error: Some(error()) },
            Outcome::Snoozed { delay: Duration::from_secs(1) },
        ];
        for (i, a) in all.iter().enumerate() {
            for (j, b) in all.iter().enumerate() {
                assert_eq!(a.hash() == b.hash(), i == j, "{a:?} {b:?}");
            }
        }
    }
}
