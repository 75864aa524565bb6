//! A watcher's end of the hub.

use std::sync::Arc;

use super::subscriber::{RunNews, Subscriber};
use super::subscribers::Subscribers;
use crate::domain::watch::WatchEvent;
use crate::store::feed::FeedCursor;

/// What was taken out of a subscription.
#[derive(Debug)]
pub struct Taken {
    pub events: Vec<WatchEvent>,
    /// All up to here is in the events, now or before.
    pub cursor: Option<FeedCursor>,
    /// Too much has come: what happened since the last cursor must be read from the feed.
    pub overflown: bool,
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

    /// Waits until something has come.
    pub async fn awaited(&self) {
        self.subscriber.bell.notified().await;
    }

    /// Takes out what has come.
    pub fn take(&self) -> Taken {
        let mut pending = self.subscriber.pending();
        pending.bytes = 0;
        Taken {
            events: std::mem::take(&mut pending.events).into_values().collect(),
            cursor: pending.cursor.clone(),
            overflown: std::mem::replace(&mut pending.overflown, false),
        }
    }

    /// All up to here has been handed out.
    pub fn cursor(&self) -> Option<FeedCursor> {
        self.subscriber.pending().cursor.clone()
    }

    /// Waits until all that was committed before this call has come, then drops what is not newer than these runs, which
    /// were just read: a run must not go backwards.
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

    /// What this watcher is told of a run, if anything.
    pub fn event(&self, news: &RunNews) -> Option<WatchEvent> {
        self.subscriber.interest.event(&self.subscriber.tenant, news).map(|(_, event)| event)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.subscribers.remove(self.subscriber.id);
    }
}
