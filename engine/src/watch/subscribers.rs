//! All watchers of this server, and the reads of the feed that they wait for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::subscriber::Subscriber;

/// All watchers of this server.
#[derive(Debug)]
pub(super) struct Subscribers {
    by_id: Mutex<HashMap<u64, Arc<Subscriber>>>,
    /// The number of reads that have begun.
    begun: Mutex<u64>,
    /// The number of the last read that succeeded.
    ended: watch::Sender<u64>,
    /// A caller waits for a read.
    wanted: Notify,
}

impl Default for Subscribers {
    fn default() -> Self {
        Self { by_id: Mutex::default(), begun: Mutex::new(0), ended: watch::channel(0).0, wanted: Notify::new() }
    }
}

impl Subscribers {
    pub(super) fn add(&self, subscriber: Arc<Subscriber>) {
        self.lock().insert(subscriber.id, subscriber);
    }

    pub(super) fn remove(&self, id: u64) {
        self.lock().remove(&id);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Subscriber>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the end of a read that begins after this call. Then all changes that were committed before the call are delivered.
    pub(super) async fn barrier(&self) {
        let next = *self.begun.lock().unwrap_or_else(PoisonError::into_inner) + 1;
        let mut ended = self.ended.subscribe();
        self.wanted.notify_one();
        // This can not fail: the sender lives as long as `self`.
        let _ = ended.wait_for(|read| *read >= next).await;
    }

    /// A read begins. Returns its number.
    pub(super) fn read_begins(&self) -> u64 {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        *begun += 1;
        *begun
    }

    /// A read has succeeded.
    pub(super) fn read_ended(&self, number: u64) {
        self.ended.send_replace(number);
    }

    /// Waits until a caller waits for a read.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }
}
