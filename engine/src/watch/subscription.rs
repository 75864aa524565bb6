//! A watcher's end of the hub.

use std::sync::Arc;

use super::subscriber::{RunNews, Subscriber};
use super::subscribers::Subscribers;
use crate::domain::watch::WatchEvent;
use crate::store::feed::FeedCursor;

/// The events that were taken from a subscription.
#[derive(Debug)]
pub struct Taken {
    pub events: Vec<WatchEvent>,
    /// All changes up to here are in these or in earlier events.
    pub cursor: Option<FeedCursor>,
    /// Too many changes came: the watcher must read the changes since its last cursor from the feed.
    pub overflown: bool,
    /// The database was restored or has gone back: the watcher must begin anew.
    pub anew: bool,
}

/// A watcher's end. Unregisters itself when it is dropped.
#[derive(Debug)]
pub struct Subscription {
    subscribers: Arc<Subscribers>,
    subscriber: Arc<Subscriber>,
}

impl Subscription {
    pub(super) fn new(subscribers: Arc<Subscribers>, subscriber: Arc<Subscriber>) -> Self {
        Self { subscribers, subscriber }
    }

    /// Waits for new events.
    pub async fn awaited(&self) {
        self.subscriber.wakeup.notified().await;
    }

    /// Takes all waiting events.
    pub fn take(&self) -> Taken {
        let mut pending = self.subscriber.pending();
        pending.bytes = 0;
        Taken {
            events: std::mem::take(&mut pending.events).into_values().collect(),
            cursor: pending.cursor.clone(),
            overflown: std::mem::replace(&mut pending.overflown, false),
            anew: pending.anew,
        }
    }

    /// All changes up to here were delivered.
    pub fn cursor(&self) -> Option<FeedCursor> {
        self.subscriber.pending().cursor.clone()
    }

    /// Waits until all changes before this call are delivered, then drops the events that are not newer than these runs, which were just
    /// read. So no run goes backwards.
    pub async fn settle(&self, read: &[RunNews]) {
        self.subscribers.barrier().await;
        let mut pending = self.subscriber.pending();
        for news in read {
            let RunNews::Now(run) = news else { continue };
            let older = match pending.events.get(&run.id) {
                Some(WatchEvent::Change(waiting)) => waiting.revision <= run.revision,
                Some(WatchEvent::LeftFilter { revision, .. }) => *revision <= run.revision,
                _ => false,
            };
            if older {
                pending.events.shift_remove(&run.id);
            }
        }
    }

    /// The event that this watcher gets for a change of a run, if any.
    pub fn event(&self, news: &RunNews) -> Option<WatchEvent> {
        self.subscriber.interest.event(&self.subscriber.tenant, news).map(|(_, event)| event)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.subscribers.remove(self.subscriber.id);
    }
}
