//! What happens to a link at an exact point of the protocol that it speaks.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::orders::Cut;

/// Springs once, on the first link that comes to its point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trap {
    /// PostgreSQL: the link is cut exactly before a COMMIT, or a statement that commits itself, reaches the server, so nothing is
    /// committed.
    CutBeforeCommit(Cut),
    /// PostgreSQL: the link is cut exactly after the server has committed, which the client never hears of.
    CutAfterCommit(Cut),
    /// PostgreSQL: the server is made to fail instead of executing a statement, with this SQLSTATE.
    FailStatement { sqlstate: &'static str, message: &'static str },
    /// PostgreSQL: a new session is refused with this SQLSTATE, in the server's place.
    FailStartup { sqlstate: &'static str, message: &'static str },
    /// HTTP/2: the next response, and all after it, never arrive, and the link is cut after this time. What was asked for
    /// is executed.
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

    /// Takes away what has not sprung.
    pub(super) fn disarm(&self) {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// How often traps have sprung.
    pub(super) fn sprung(&self) -> watch::Receiver<u64> {
        self.sprung.subscribe()
    }

    /// Springs the first trap that is meant.
    pub(super) fn spring<T>(&self, meant: impl Fn(&Trap) -> Option<T>) -> Option<T> {
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        let (index, found) = armed.iter().enumerate().find_map(|(index, trap)| Some((index, meant(trap)?)))?;
        armed.remove(index);
        self.sprung.send_modify(|count| *count += 1);
        Some(found)
    }
}
