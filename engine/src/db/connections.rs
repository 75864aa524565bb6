//! The connections of a server: a bounded number, the last one used first.
//!
//! A connection that was used a moment ago needs no ping, and its server process still has its plans and its memory. Every connection
//! that is in use holds a slot. One whose process may still be busy after its deadline is given up and keeps its slot until that process
//! has ended (`abandoned`), so that a database in which statements hang never has more processes of this server than there are slots.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::db::StoreError;
use crate::db::abandoned::Abandoned;
use crate::db::opening::{Backend, Opener};

/// How long a connection counts as alive after its last use.
const TRUSTED_IDLE: Duration = Duration::from_millis(500);

/// A connection that misses this ping timeout is dead.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// The ages at which connections are closed: since they were opened, and since they were used.
const OLDEST: Duration = Duration::from_secs(30 * 60);
const LONGEST_IDLE: Duration = Duration::from_secs(10 * 60);

/// The least time between two times that all connections become stale.
const FORGET_INTERVAL: Duration = Duration::from_secs(1);

/// A connection in use.
#[derive(Debug)]
pub(super) struct Held {
    pub connection: PgConnection,
    kept: Kept,
    slot: OwnedSemaphorePermit,
}

/// What is known of a connection.
#[derive(Debug)]
struct Kept {
    backend: Backend,
    opened: Instant,
    /// The generation in which it was opened.
    generation: u64,
}

#[derive(Debug)]
struct Idle {
    connection: PgConnection,
    kept: Kept,
    since: Instant,
}

/// The connections.
#[derive(Debug)]
pub(super) struct Connections {
    pub(super) opener: Arc<Opener>,
    pub(super) abandoned: Abandoned,
    slots: Arc<Semaphore>,
    /// The last one used is at the end.
    idle: Mutex<Vec<Idle>>,
    /// Rises when all connections become stale.
    generation: AtomicU64,
    forgotten: Mutex<Option<Instant>>,
    max: usize,
}

impl Connections {
    /// At most `max` of them.
    pub(super) fn new(opener: Opener, max: usize) -> Self {
        let opener = Arc::new(opener);
        Self {
            abandoned: Abandoned::new(opener.clone(), max),
            opener,
            slots: Arc::new(Semaphore::new(max)),
            idle: Mutex::default(),
            generation: AtomicU64::default(),
            forgotten: Mutex::default(),
            max,
        }
    }

    /// The connection that was used last, if one is idle and counts as alive.
    pub(super) fn take(&self) -> Option<Held> {
        let slot = self.slots.clone().try_acquire_owned().ok()?;
        let mut idle = self.idle();
        let trusted = idle.last().is_some_and(|last| last.since.elapsed() <= TRUSTED_IDLE && self.is_fresh(&last.kept));
        let Idle { connection, kept, .. } = if trusted { idle.pop()? } else { return None };
        Some(Held { connection, kept, slot })
    }

    /// A connection that is idle and alive, or else a new one; only a new one, if asked for.
    pub(super) async fn acquire(&self, is_new: bool) -> Result<Held, StoreError> {
        let slot = self.slots.clone().acquire_owned().await;
        let slot = slot.map_err(|_| StoreError::Unavailable("the connections are closed".into()))?;
        loop {
            let Some(Idle { mut connection, kept, since }) = self.idle().pop() else { break };
            if is_new {
                // The new one takes its place.
                break;
            }
            if !self.is_fresh(&kept) {
                continue;
            }
            // After a restart of the database all connections are dead, and only a ping shows it.
            if since.elapsed() > TRUSTED_IDLE {
                let ping = tokio::time::timeout(PING_TIMEOUT, connection.ping()).await;
                if !matches!(ping, Ok(Ok(()))) {
                    continue;
                }
            }
            return Ok(Held { connection, kept, slot });
        }
        // Each new one might hang as the others do.
        if self.abandoned.are_many() {
            return Err(StoreError::Unavailable(self.abandoned.why()));
        }
        let generation = self.generation.load(Ordering::Relaxed);
        let server = self.opener.server();
        let (connection, backend) = self.opener.open().await?;
        if backend.server != server {
            self.abandoned.forget_other_servers();
        }
        Ok(Held { connection, kept: Kept { backend, opened: Instant::now(), generation }, slot })
    }

    /// Takes a connection back.
    pub(super) fn keep(&self, held: Held) {
        let Held { connection, kept, slot } = held;
        if !self.is_fresh(&kept) || self.slots.is_closed() {
            return;
        }
        let mut idle = self.idle();
        let old = idle.iter().take_while(|it| it.since.elapsed() > LONGEST_IDLE).count();
        idle.drain(..old);
        idle.push(Idle { connection, kept, since: Instant::now() });
        drop(idle);
        // Only now, so that who waits for the slot finds the connection.
        drop(slot);
    }

    /// Shrinks the buffers of the idle connections. They have grown to the largest message so far, and stay so otherwise.
    pub(super) fn shrink(&self) {
        self.idle().iter_mut().for_each(|it| it.connection.shrink_buffers());
    }

    /// Closes a connection in an unknown state, and ends its process.
    pub(super) fn abandon(&self, held: Held) {
        let Held { connection, kept, slot } = held;
        drop(connection);
        self.abandoned.add(kept.backend, slot);
    }

    /// No connection that is open now serves another unit of work. Soon after a call, another one does nothing: if new sessions do not
    /// help either, they are not opened for every unit.
    pub(super) fn forget(&self) {
        let mut forgotten = self.forgotten.lock().unwrap_or_else(PoisonError::into_inner);
        if forgotten.is_some_and(|at| at.elapsed() < FORGET_INTERVAL) {
            return;
        }
        *forgotten = Some(Instant::now());
        self.generation.fetch_add(1, Ordering::Relaxed);
        self.idle().clear();
    }

    /// How many are open, and how many of these are idle.
    pub(super) fn counts(&self) -> (usize, usize) {
        let idle = self.idle().len();
        let used = self.max.saturating_sub(self.slots.available_permits() + self.abandoned.count());
        (idle + used, idle)
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    /// Closes the idle connections. Nothing takes one after this.
    pub(super) async fn close(&self) {
        self.slots.close();
        let idle = std::mem::take(&mut *self.idle());
        for it in idle {
            // The server's process ends in any case.
            let _ = tokio::time::timeout(PING_TIMEOUT, it.connection.close()).await;
        }
    }

    fn is_fresh(&self, kept: &Kept) -> bool {
        kept.generation == self.generation.load(Ordering::Relaxed)
            && kept.backend.server == self.opener.server()
            && kept.opened.elapsed() <= OLDEST
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
