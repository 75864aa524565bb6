//! What the lab and its clients find themselves, besides the history: promises that need no history to be judged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// What is kept of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// Promises that were broken, each in one sentence.
    pub violations: BTreeSet<String>,
    /// Numbers that say what happened.
    pub facts: BTreeMap<String, u64>,
}

/// Where everybody who finds something writes it.
#[derive(Debug, Default)]
pub struct SharedFindings {
    found: Mutex<Findings>,
}

impl SharedFindings {
    /// A promise was broken.
    pub fn violation(&self, what: impl Into<String>) {
        let what = what.into();
        tracing::error!(%what, "a promise was broken");
        self.with(|found| found.violations.insert(what));
    }

    /// Something happened once more.
    pub fn count(&self, what: &str) {
        self.with(|found| *found.facts.entry(what.to_owned()).or_default() += 1);
    }

    /// Something was as much as this; the most is kept.
    pub fn most(&self, what: &str, value: u64) {
        self.with(|found| {
            let most = found.facts.entry(what.to_owned()).or_default();
            *most = value.max(*most);
        });
    }

    /// All that was found so far.
    pub fn all(&self) -> Findings {
        self.with(|found| found.clone())
    }

    fn with<T>(&self, act: impl FnOnce(&mut Findings) -> T) -> T {
        act(&mut self.found.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
