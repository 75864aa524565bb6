//! One watcher's interest, and what waits for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indexmap::IndexMap;
use tokio::sync::Notify;
use uuid::Uuid;

use super::changes::ChangeHub;
use crate::domain::filter::RunFilter;
use crate::domain::watch::WatchEvent;
use crate::domain::weight::Weight;
use crate::domain::{Run, TenantId};
use crate::store::change::FeedCursor;

/// What may wait for one watcher, in runs and in bytes. Beyond that it reads what it missed from the feed by itself.
const PENDING_RUNS: usize = 10_000;
const PENDING_BYTES: usize = 32 << 20;

/// What a watcher wants to know of.
#[derive(Debug, Clone)]
pub enum Interest {
    Filter(RunFilter),
    /// One run, and that events of it were kept.
    Run(Uuid),
}

/// A run that changed.
#[derive(Debug, Clone)]
pub enum RunNews {
    Now(Arc<Run>),
    Deleted(TenantId, Uuid),
}

impl Interest {
    /// What a watcher with this interest is told of a run, if anything.
    pub fn event(&self, tenant: &TenantId, news: &RunNews) -> Option<(Uuid, WatchEvent)> {
        match (self, news) {
            (_, RunNews::Now(run)) if run.tenant_id != *tenant => None,
            (_, RunNews::Deleted(of, _)) if of != tenant => None,
            (Interest::Run(id), RunNews::Now(run)) => (run.id == *id).then(|| (*id, WatchEvent::Change(run.clone()))),
            (Interest::Run(id), RunNews::Deleted(_, deleted)) => {
                (deleted == id).then_some((*id, WatchEvent::Deleted { run_id: *id }))
            }
            (Interest::Filter(filter), RunNews::Now(run)) => {
                if filter.matches(run) {
                    Some((run.id, WatchEvent::Change(run.clone())))
                } else if filter.concerns(run) {
                    Some((run.id, WatchEvent::LeftFilter { run_id: run.id, revision: run.revision }))
                } else {
                    None
                }
            }
            (Interest::Filter(_), RunNews::Deleted(_, id)) => Some((*id, WatchEvent::Deleted { run_id: *id })),
        }
    }
}

#[derive(Debug, Default)]
struct Pending {
    /// The newest state of each run, in the order in which they changed first.
    events: IndexMap<Uuid, WatchEvent>,
    /// What was put in since it was empty; a run that changes again counts again.
    bytes: usize,
    /// All up to here has been handed out. Stays behind after an overflow.
    cursor: Option<FeedCursor>,
    overflown: bool,
}

/// What the hub knows of a watcher.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) id: u64,
    pub(super) tenant: TenantId,
    pub(super) interest: Interest,
    pending: Mutex<Pending>,
    bell: Notify,
}

impl Subscriber {
    pub(super) fn new(tenant: TenantId, interest: Interest) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { id, tenant, interest, pending: Mutex::default(), bell: Notify::new() }
    }

    /// Keeps what concerns this watcher, and moves its cursor.
    pub(super) fn take_in(&self, news: &[RunNews], cursor: &FeedCursor) {
        let mut events = news.iter().filter_map(|news| self.interest.event(&self.tenant, news));
        if let Interest::Run(_) = self.interest {
            // Who waits for one run reads it by itself, so nothing is kept.
            if events.next().is_some() {
                self.ring();
            }
            return;
        }
        let mut pending = self.pending();
        if pending.overflown {
            return;
        }
        let mut any = false;
        for (run_id, event) in events {
            pending.bytes += match &event {
                WatchEvent::Change(run) => run.weight(),
                _ => 0,
            };
            pending.events.insert(run_id, event);
            any = true;
        }
        if pending.events.len() > PENDING_RUNS || pending.bytes > PENDING_BYTES {
            drop(pending);
            return self.overflow();
        }
        pending.cursor = Some(cursor.clone());
        drop(pending);
        if any {
            self.ring();
        }
    }

    /// Gives up on keeping what happens: the watcher reads it from the feed when it comes to it.
    pub(super) fn overflow(&self) {
        if let Interest::Filter(_) = self.interest {
            let mut pending = self.pending();
            pending.events = IndexMap::new();
            pending.overflown = true;
        }
        self.ring();
    }

    pub(super) fn ring(&self) {
        self.bell.notify_one();
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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
    hub: Arc<ChangeHub>,
    subscriber: Arc<Subscriber>,
}

impl Subscription {
    pub(super) fn new(hub: Arc<ChangeHub>, subscriber: Arc<Subscriber>) -> Self {
        Self { hub, subscriber }
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
        self.hub.barrier().await;
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
        self.hub.unsubscribe(self.subscriber.id);
    }
}
