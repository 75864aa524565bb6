//! Faults at an exact point of a protocol.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::orders::Cut;

/// A fault that springs once, on the first link that reaches its point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trap {
    /// PostgreSQL: the link is cut exactly before a COMMIT, or a statement that commits itself, reaches the server, so nothing is
    /// committed.
    CutBeforeCommit(Cut),
    /// PostgreSQL: the link is cut exactly after the server has committed, so the client never learns it.
    CutAfterCommit(Cut),
    /// PostgreSQL: the server fails with this SQLSTATE instead of executing a statement.
    FailStatement { sqlstate: &'static str, message: &'static str },
    /// PostgreSQL: the proxy refuses a new session with this SQLSTATE.
    FailStartup { sqlstate: &'static str, message: &'static str },
    /// HTTP/2: the next response and all later ones never arrive, and the link is cut after this time. The server
    /// executes the requests.
    DropResponse { cut_after: Duration },
}

/// The traps of a proxy, shared by its links.
#[derive(Debug, Default)]
pub(super) struct Traps {
    armed: Mutex<VecDeque<Trap>>,
    sprung: watch::Sender<u64>,
}

impl Traps {
    pub(super) fn arm(&self, trap: Trap) {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner).push_back(trap);
    }

    /// Removes the traps that have not sprung.
    pub(super) fn disarm(&self) {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// How often traps have sprung.
    pub(super) fn sprung(&self) -> watch::Receiver<u64> {
        self.sprung.subscribe()
    }

    /// Springs the first trap that fits.
    pub(super) fn spring<T>(&self, meant: impl Fn(&Trap) -> Option<T>) -> Option<T> {
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        let (index, found) = armed.iter().enumerate().find_map(|(index, trap)| Some((index, meant(trap)?)))?;
        armed.remove(index);
        self.sprung.send_modify(|count| *count += 1);
        Some(found)
    }
}
