//! The sessions and runs that all clients know.

use std::sync::{Mutex, PoisonError};

use rand::RngExt;
use rand::rngs::StdRng;
use uuid::Uuid;

/// Sessions and runs that a server has acknowledged.
#[derive(Debug, Default)]
pub struct Known {
    sessions: Mutex<Vec<Uuid>>,
    runs: Mutex<Vec<Uuid>>,
}

impl Known {
    pub fn add_session(&self, session: Uuid) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).push(session);
    }

    pub fn add_runs(&self, runs: &[Uuid]) {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(runs);
    }

    pub fn session(&self, rng: &mut StdRng) -> Option<Uuid> {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        (!sessions.is_empty()).then(|| sessions[rng.random_range(0..sessions.len())])
    }

    /// One of the latest runs, which have mostly not ended.
    pub fn run(&self, rng: &mut StdRng) -> Option<Uuid> {
        const LATEST: usize = 60;
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let first = runs.len().saturating_sub(LATEST);
        (!runs.is_empty()).then(|| runs[rng.random_range(first..runs.len())])
    }

    pub fn sessions(&self) -> Vec<Uuid> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Removes a session, unless only few are left.
    pub fn take_session(&self, rng: &mut StdRng) -> Option<Uuid> {
        const FEW: usize = 5;
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        (sessions.len() > FEW).then(|| {
            let index = rng.random_range(0..sessions.len());
            sessions.swap_remove(index)
        })
    }
}
