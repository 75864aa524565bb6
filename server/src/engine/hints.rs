//! Hints: something was committed that others may wait for. A hint only says "look"; polling guarantees.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::settings::OUTAGE_RETRY_DELAY;
use crate::store::change::hint_send;
use crate::store::listen::Listener;
use crate::store::{Db, StoreError};

/// What a hint is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Runs can be claimed.
    Work,
    /// Workers have to be told something.
    Cancels,
    /// Runs have changed.
    Changes,
}

const TOPICS: [Topic; 3] = [Topic::Work, Topic::Cancels, Topic::Changes];

impl Topic {
    fn channel(self) -> &'static str {
        match self {
            Topic::Work => "ops_work",
            Topic::Cancels => "ops_cancels",
            Topic::Changes => "ops_changes",
        }
    }
}

#[derive(Debug, Default)]
struct Signal {
    /// Wakes who looks in this process.
    local: Notify,
    /// Wakes who tells the other replicas.
    remote: Notify,
    /// How many were given.
    given: AtomicU64,
}

/// Where hints are given and awaited. One waiter a topic.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    signals: Arc<[Signal; 3]>,
}

impl Hints {
    /// Says that something was committed: here at once, to the other replicas as soon as the database takes it. Hints that
    /// come faster than they can be sent become one.
    pub fn give(&self, topic: Topic) {
        self.give_here(topic);
        self.signals[topic as usize].given.fetch_add(1, Ordering::Relaxed);
        self.signals[topic as usize].remote.notify_one();
    }

    /// How many hints on a topic were given.
    pub fn given(&self, topic: Topic) -> u64 {
        self.signals[topic as usize].given.load(Ordering::Relaxed)
    }

    /// Wakes only who looks in this process.
    pub fn give_here(&self, topic: Topic) {
        self.signals[topic as usize].local.notify_one();
    }

    /// Waits for a hint. One that was given before is not missed.
    pub async fn awaited(&self, topic: Topic) {
        self.signals[topic as usize].local.notified().await;
    }

    /// Passes the hints on one topic to the other replicas: one statement at a time, outside of any transaction, because a
    /// NOTIFY inside one would make all commits wait for each other.
    pub async fn send(self, topic: Topic, db: Db, closing: CancellationToken) {
        loop {
            tokio::select! {
                () = self.signals[topic as usize].remote.notified() => {}
                () = closing.cancelled() => return,
            }
            let channel = topic.channel();
            let sent = db.run(move |c| Box::pin(hint_send(c, channel))).await;
            if let Err(error) = sent {
                tracing::debug!(%error, channel, "a hint was not sent; the others will poll");
            }
        }
    }

    /// Takes the hints of the other replicas. After any error: connect again and look at everything.
    pub async fn listen(self, db: Db, closing: CancellationToken) {
        loop {
            tokio::select! {
                result = self.listen_once(&db) => {
                    if let Err(error) = result {
                        tracing::warn!(%error, "the listener lost its connection; polling goes on");
                    }
                }
                () = closing.cancelled() => return,
            }
            TOPICS.into_iter().for_each(|topic| self.give_here(topic));
            tokio::select! {
                () = tokio::time::sleep(OUTAGE_RETRY_DELAY) => {}
                () = closing.cancelled() => return,
            }
        }
    }

    async fn listen_once(&self, db: &Db) -> Result<(), StoreError> {
        let mut listener = Listener::open(db, &TOPICS.map(Topic::channel)).await?;
        TOPICS.into_iter().for_each(|topic| self.give_here(topic));
        loop {
            let channel = listener.next().await?;
            for topic in TOPICS {
                if channel.as_deref().is_none_or(|channel| channel == topic.channel()) {
                    self.give_here(topic);
                }
            }
        }
    }
}
