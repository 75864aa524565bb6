//! Broken promises that the lab and its clients see at once, without a history.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// All findings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// Broken promises, each in one sentence.
    pub violations: BTreeSet<String>,
    /// Counts and maxima.
    pub facts: BTreeMap<String, u64>,
}

/// Findings that all tasks of a run add to.
#[derive(Debug, Default)]
pub struct SharedFindings {
    found: Mutex<Findings>,
}

impl SharedFindings {
    /// Adds a broken promise.
    pub fn violation(&self, what: impl Into<String>) {
        let what = what.into();
        tracing::error!(%what, "a promise was broken");
        self.with(|found| found.violations.insert(what));
    }

    /// Counts an event.
    pub fn count(&self, what: &str) {
        self.with(|found| *found.facts.entry(what.to_owned()).or_default() += 1);
    }

    /// Keeps the maximum of a value.
    pub fn most(&self, what: &str, value: u64) {
        self.with(|found| {
            let most = found.facts.entry(what.to_owned()).or_default();
            *most = value.max(*most);
        });
    }

    /// All findings so far.
    pub fn all(&self) -> Findings {
        self.with(|found| found.clone())
    }

    fn with<T>(&self, act: impl FnOnce(&mut Findings) -> T) -> T {
        act(&mut self.found.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
