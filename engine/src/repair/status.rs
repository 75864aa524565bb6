//! The status of each repair of this server: whether its last try failed, and since when it has not succeeded.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The status of a repair.
#[derive(Debug)]
pub struct Status {
    pub name: &'static str,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    is_failing: bool,
    /// When the repair last succeeded or had nothing to do, or the end of its rest.
    ok_at: Instant,
    is_given_up: bool,
}

impl Status {
    pub fn new(name: &'static str) -> Self {
        let state = State { is_failing: false, ok_at: Instant::now(), is_given_up: false };
        Self { name, state: Mutex::new(state) }
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
    pub(super) fn tried(&self, is_ok: bool, rest: Duration) -> bool {
        let mut state = self.lock();
        let (was_failing, now) = (state.is_failing, Instant::now());
        state.is_failing = !is_ok;
        if is_ok {
            state.ok_at = now + rest;
        }
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
