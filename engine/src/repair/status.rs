//! The status of each repair of this server: its last try, and since when it has not succeeded.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::db::StoreError;

/// The changes of a try: a number of each kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(Vec<(&'static str, u64)>);

impl Counts {
    pub fn new(counts: impl IntoIterator<Item = (&'static str, u64)>) -> Self {
        Self(counts.into_iter().collect())
    }

    /// Whether the try changed nothing.
    pub fn is_nothing(&self) -> bool {
        self.0.iter().all(|(_, count)| *count == 0)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<_> = self.0.iter().map(|(what, count)| format!("{what}={count}")).collect();
        f.write_str(&counts.join(" "))
    }
}

/// A try of a repair.
#[derive(Debug, Clone)]
pub struct Try {
    pub result: Result<Counts, StoreError>,
    pub ended: Instant,
    pub took: Duration,
}

/// The status of a repair.
#[derive(Debug)]
pub struct Status {
    pub name: &'static str,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    last: Option<Try>,
    is_failing: bool,
    /// When the repair last succeeded or had nothing to do, or the end of its rest.
    ok_at: Instant,
    is_given_up: bool,
}

impl Status {
    pub fn new(name: &'static str) -> Self {
        let state = State { last: None, is_failing: false, ok_at: Instant::now(), is_given_up: false };
        Self { name, state: Mutex::new(state) }
    }

    /// The last try; `None` before the first one.
    pub fn last(&self) -> Option<Try> {
        self.lock().last.clone()
    }

    /// Whether the last try failed, and there is still something to do.
    pub fn is_failing(&self) -> bool {
        self.lock().is_failing
    }

    /// Since when the repair has neither succeeded, nor rested, nor had nothing to do.
    pub fn age(&self) -> Duration {
        let state = self.lock();
        if state.is_given_up { Duration::ZERO } else { Instant::now().saturating_duration_since(state.ok_at) }
    }

    /// A try has ended, and the next one comes after this rest. Returns whether the repair began to fail, or succeeds again.
    pub(super) fn tried(&self, result: Result<Counts, StoreError>, took: Duration, rest: Duration) -> bool {
        let mut state = self.lock();
        let (was_failing, now) = (state.is_failing, Instant::now());
        state.is_failing = result.is_err();
        if result.is_ok() {
            state.ok_at = now + rest;
        }
        state.last = Some(Try { result, ended: now, took });
        was_failing != state.is_failing
    }

    /// There is nothing to do for the repair.
    pub(super) fn not_needed(&self) {
        let mut state = self.lock();
        state.is_failing = false;
        state.ok_at = state.ok_at.max(Instant::now());
    }

    /// This server does not do the repair.
    pub(super) fn given_up(&self) {
        self.lock().is_given_up = true;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The statuses of all repairs of this server. Clones share them.
#[derive(Debug, Clone)]
pub struct Repairs(Arc<[Arc<Status>]>);

impl Repairs {
    pub(super) fn new(statuses: impl IntoIterator<Item = Arc<Status>>) -> Self {
        Self(statuses.into_iter().collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Status> {
        self.0.iter().map(AsRef::as_ref)
    }
}
