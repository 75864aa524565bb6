//! Wakeups: a write was committed that another loop or another server may wait for. A wakeup says only "look". It may be lost, so each
//! loop also looks without one from time to time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures::FutureExt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::db::listen::Listener;
use crate::db::{Db, StoreError};
use crate::settings::OUTAGE_RETRY_DELAY;
use crate::store::effects::Effects;
use crate::store::wakeup::wakeup_send;

/// What a wakeup is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Runs can be claimed.
    Work,
    /// There are orders for workers. Its channel and its metric are called cancels.
    Orders,
    /// Runs have changed.
    Changes,
    /// Workers have newer streams.
    Streams,
}

const TOPICS: [Topic; 4] = [Topic::Work, Topic::Orders, Topic::Changes, Topic::Streams];

impl Topic {
    fn channel(self) -> &'static str {
        match self {
            Topic::Work => "ops_work",
            Topic::Orders => "ops_cancels",
            Topic::Changes => "ops_changes",
            Topic::Streams => "ops_streams",
        }
    }

    /// Whether a write with these effects gives a wakeup on the topic.
    fn follows(self, effects: Effects) -> bool {
        match self {
            Topic::Work => effects.work,
            Topic::Orders => effects.orders,
            Topic::Changes => effects.changes,
            Topic::Streams => effects.streams,
        }
    }
}

#[derive(Debug, Default)]
struct Signal {
    /// Wakes the waiter in this process.
    local: Notify,
    /// Whether the wakeup must still be sent to the other servers.
    is_unsent: AtomicBool,
    /// The number of wakeups given.
    given: AtomicU64,
}

/// Where wakeups are given and awaited. Each topic has one waiter.
#[derive(Debug, Clone)]
pub struct Wakeups {
    signals: Arc<[Signal; TOPICS.len()]>,
    /// Wakes the loop that sends wakeups to the other servers.
    unsent: Arc<Notify>,
    /// This server. A notification carries it, so that the server ignores its own.
    server_id: Uuid,
}

impl Wakeups {
    pub fn new(server_id: Uuid) -> Self {
        Self { signals: Arc::default(), unsent: Arc::default(), server_id }
    }

    /// Gives the wakeups that follow a committed write: in this process at once, to the other servers as soon as the database accepts
    /// them. Wakeups that come faster than they are sent become one.
    pub fn send(&self, effects: Effects) {
        TOPICS.into_iter().filter(|topic| topic.follows(effects)).for_each(|topic| self.give(topic));
    }

    fn give(&self, topic: Topic) {
        self.give_here(topic);
        let signal = &self.signals[topic as usize];
        signal.given.fetch_add(1, Ordering::Relaxed);
        signal.is_unsent.store(true, Ordering::Release);
        self.unsent.notify_one();
    }

    /// The number of wakeups given on a topic.
    pub fn given(&self, topic: Topic) -> u64 {
        self.signals[topic as usize].given.load(Ordering::Relaxed)
    }

    /// Gives a wakeup in this process only.
    pub fn give_here(&self, topic: Topic) {
        self.signals[topic as usize].local.notify_one();
    }

    /// Waits for a wakeup. One that was given before the wait counts too.
    pub async fn awaited(&self, topic: Topic) {
        self.signals[topic as usize].local.notified().await;
    }

    /// Sends wakeups to the other servers, one statement at a time and outside of other transactions: commits of transactions with a
    /// NOTIFY wait for each other.
    pub async fn pass_on(self, db: Db, closing: CancellationToken) {
        loop {
            tokio::select! {
                () = self.unsent.notified() => {}
                () = closing.cancelled() => return,
            }
            let is_unsent = |topic: &Topic| self.signals[*topic as usize].is_unsent.swap(false, Ordering::Acquire);
            let channels: Vec<&str> = TOPICS.into_iter().filter(is_unsent).map(Topic::channel).collect();
            let server_id = self.server_id;
            let sent = db.write(channels, move |c, channels| wakeup_send(c, channels, server_id).boxed());
            if let Err(error) = sent.await {
                tracing::debug!(%error, "a wakeup was not sent; the other servers poll");
            }
        }
    }

    /// Receives the wakeups of the other servers. After an error it connects again, and gives all wakeups, because some may be lost.
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
        let own = self.server_id.to_string();
        loop {
            let wakeup = listener.next().await?;
            if wakeup.payload() != own {
                let topic = TOPICS.into_iter().find(|topic| topic.channel() == wakeup.channel());
                topic.into_iter().for_each(|topic| self.give_here(topic));
            }
        }
    }
}
