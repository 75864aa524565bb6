//! Connections that were just used, the last one first.
//!
//! A connection that was used a moment ago needs no ping, and its server process still has its plans and its memory. The pool would ping
//! each connection that comes back, and would next give the one that was idle longest.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::Postgres;
use sqlx::pool::PoolConnection;

/// How long a connection counts as alive after its last use. A connection that is idle for longer goes back to the pool.
pub(super) const TRUSTED_IDLE: Duration = Duration::from_millis(500);

/// How long a connection may stay outside of the pool, which bounds the age of connections.
const MAX_OUTSIDE: Duration = Duration::from_secs(60);

/// A connection, and when it was taken from the pool.
#[derive(Debug)]
pub(super) struct Warmed {
    pub connection: PoolConnection<Postgres>,
    taken: Instant,
}

impl Warmed {
    /// A connection that comes from the pool now.
    pub(super) fn new(connection: PoolConnection<Postgres>) -> Self {
        Self { connection, taken: Instant::now() }
    }
}

/// The idle connections.
#[derive(Debug, Clone, Default)]
pub(super) struct Warm {
    /// Each with when it was used last. The last one is at the end.
    idle: Arc<Mutex<Vec<(Warmed, Instant)>>>,
    /// The number of callers that wait for the pool.
    waiting: Arc<AtomicUsize>,
}

impl Warm {
    /// The connection that was used last, if it counts as alive.
    pub(super) fn take(&self) -> Option<Warmed> {
        let mut idle = self.lock();
        let (warmed, since) = idle.pop()?;
        if since.elapsed() <= TRUSTED_IDLE {
            return Some(warmed);
        }
        // The others are idle for longer.
        idle.clear();
        None
    }

    /// Keeps a connection, unless a caller waits for the pool.
    pub(super) fn keep(&self, warmed: Warmed) {
        if warmed.taken.elapsed() > MAX_OUTSIDE {
            return;
        }
        let mut idle = self.lock();
        let stale = idle.iter().take_while(|(_, since)| since.elapsed() > TRUSTED_IDLE).count();
        idle.drain(..stale);
        idle.push((warmed, Instant::now()));
        // A caller that begins to wait after this check gives the connection back to the pool by itself.
        if self.waiting.load(Ordering::SeqCst) > 0 {
            idle.pop();
        }
    }

    /// A caller waits for the pool until the returned value is dropped. Meanwhile the pool gets all idle connections, and those that
    /// come back.
    pub(super) fn waiting(&self) -> Waiting {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.clear();
        Waiting(self.waiting.clone())
    }

    /// Gives all idle connections back to the pool.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Warmed, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A caller waits for the pool.
#[derive(Debug)]
pub(super) struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
