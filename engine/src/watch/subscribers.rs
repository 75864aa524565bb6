//! All watchers of this server, and the reads of the feed that they wait for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::subscriber::Subscriber;

/// All watchers of this server.
#[derive(Debug)]
pub(super) struct Subscribers {
    by_id: Mutex<HashMap<u64, Arc<Subscriber>>>,
    /// The number of reads that have begun, and of the last one that has ended well.
    begun: Mutex<u64>,
    ended: watch::Sender<u64>,
    /// Somebody waits for a read.
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

    /// Waits for a read that begins after this call: all that was committed before has then been delivered.
    pub(super) async fn barrier(&self) {
        let next = *self.begun.lock().unwrap_or_else(PoisonError::into_inner) + 1;
        let mut ended = self.ended.subscribe();
        self.wanted.notify_one();
        // The sender lives as long as this.
        let _ = ended.wait_for(|read| *read >= next).await;
    }

    /// A read begins; answers its number.
    pub(super) fn read_begins(&self) -> u64 {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        *begun += 1;
        *begun
    }

    /// A read has ended well.
    pub(super) fn read_ended(&self, number: u64) {
        self.ended.send_replace(number);
    }

    /// Waits until somebody waits for a read.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }
}
