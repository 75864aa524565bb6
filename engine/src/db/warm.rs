//! Connections that were just used, the last one first.
//!
//! What was used a moment ago needs no question whether it is alive, and the process that serves it has its plans and its
//! memory at hand. The pool asks each connection that comes back, and gives out the one that has rested longest.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::Postgres;
use sqlx::pool::PoolConnection;

/// For so long a connection is taken to be alive after it was used. What rests longer goes back to the pool.
pub(super) const TRUSTED_IDLE: Duration = Duration::from_millis(500);

/// For so long one is kept from the pool, which looks after its age.
const KEPT: Duration = Duration::from_secs(60);

/// A connection, and since when it is not the pool's.
#[derive(Debug)]
pub(super) struct Warmed {
    pub connection: PoolConnection<Postgres>,
    taken: Instant,
}

impl Warmed {
    /// As it comes from the pool.
    pub(super) fn new(connection: PoolConnection<Postgres>) -> Self {
        Self { connection, taken: Instant::now() }
    }
}

/// Those that rest, each since when.
#[derive(Debug, Clone, Default)]
pub(super) struct Warm {
    resting: Arc<Mutex<Vec<(Warmed, Instant)>>>,
    /// Who waits for the pool.
    waiting: Arc<AtomicUsize>,
}

impl Warm {
    /// The connection that was used last, if one rests.
    pub(super) fn take(&self) -> Option<Warmed> {
        let mut resting = self.lock();
        let (warmed, since) = resting.pop()?;
        if since.elapsed() <= TRUSTED_IDLE {
            return Some(warmed);
        }
        // The others have rested longer.
        resting.clear();
        None
    }

    /// Keeps a connection that is in order, unless somebody waits for the pool.
    pub(super) fn keep(&self, warmed: Warmed) {
        if warmed.taken.elapsed() > KEPT {
            return;
        }
        let mut resting = self.lock();
        let stale = resting.iter().take_while(|(_, since)| since.elapsed() > TRUSTED_IDLE).count();
        resting.drain(..stale);
        resting.push((warmed, Instant::now()));
        // Whoever begins to wait later takes this from here to the pool.
        if self.waiting.load(Ordering::SeqCst) > 0 {
            resting.pop();
        }
    }

    /// Somebody waits for the pool from now on, until the answer is dropped: it gets what rests, and what comes back.
    pub(super) fn waiting(&self) -> Waiting {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.clear();
        Waiting(self.waiting.clone())
    }

    /// Gives all back to the pool.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Warmed, Instant)>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody waits for the pool.
#[derive(Debug)]
pub(super) struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
