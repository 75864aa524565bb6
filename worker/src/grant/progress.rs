//! The progress of an attempt, until a heartbeat carries it.

use std::sync::{Mutex, PoisonError};

/// How far an attempt is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Progress {
    pub(crate) fraction: f64,
    pub(crate) message: String,
}

/// The latest progress, and whether it has changed since it was taken.
#[derive(Debug, Default)]
pub(crate) struct ProgressCell {
    state: Mutex<(Option<Progress>, bool)>,
}

impl ProgressCell {
    pub(crate) fn set(&self, progress: Progress) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = state.0.as_ref() != Some(&progress);
        if is_new {
            *state = (Some(progress), true);
        }
    }

    /// The progress, if it has changed since the last call.
    pub(crate) fn take_changed(&self) -> Option<Progress> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut state.1) { state.0.clone() } else { None }
    }

    /// The stream is lost, and maybe the taken progress with it: the next heartbeat carries it again.
    pub(crate) fn mark_changed(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.1 = state.0.is_some();
    }
}
