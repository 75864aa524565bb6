//! One watcher as the hub sees it: its interest, and the events that wait for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indexmap::IndexMap;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::domain::filter::RunFilter;
use crate::domain::watch::WatchEvent;
use crate::domain::weight::Weight;
use crate::domain::{Run, TenantId};
use crate::store::feed::FeedCursor;

/// The most runs and bytes that wait for one watcher. A watcher that is further behind reads the feed by itself.
const PENDING_RUNS: usize = 10_000;
const PENDING_BYTES: usize = 32 << 20;

/// The runs that a watcher follows.
#[derive(Debug, Clone)]
pub enum Interest {
    Filter(RunFilter),
    /// One run, and a wakeup for each new event of it.
    Run(Uuid),
}

/// A run that changed.
#[derive(Debug, Clone)]
pub enum RunNews {
    Now(Arc<Run>),
    Deleted(TenantId, Uuid),
}

impl Interest {
    /// The event that a watcher with this interest gets for a change of a run, if any.
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

/// The events that wait for a watcher.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// The newest event of each run, in the order of their first changes.
    pub(super) events: IndexMap<Uuid, WatchEvent>,
    /// The bytes that were added since the watcher took the events last. A run that changes again counts again.
    pub(super) bytes: usize,
    /// All changes up to here were delivered. An overflow leaves it as it is.
    pub(super) cursor: Option<FeedCursor>,
    pub(super) overflown: bool,
    /// The watcher has to begin anew, because the database is not the one that it watched.
    pub(super) anew: bool,
}

/// A watcher, as the hub knows it.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) id: u64,
    pub(super) tenant: TenantId,
    pub(super) interest: Interest,
    pending: Mutex<Pending>,
    /// Wakes the watcher.
    pub(super) wakeup: Notify,
}

impl Subscriber {
    pub(super) fn new(tenant: TenantId, interest: Interest) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { id, tenant, interest, pending: Mutex::default(), wakeup: Notify::new() }
    }

    /// Adds the changes that concern this watcher, and moves its cursor.
    pub(super) fn add(&self, news: &[RunNews], cursor: &FeedCursor) {
        let mut events = news.iter().filter_map(|news| self.interest.event(&self.tenant, news));
        if let Interest::Run(_) = self.interest {
            // A watcher of one run reads the run by itself, so no event is kept.
            if events.next().is_some() {
                self.wake();
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
            self.wake();
        }
    }

    /// Drops the events and keeps no more: the watcher reads them from the feed.
    pub(super) fn overflow(&self) {
        if let Interest::Filter(_) = self.interest {
            let mut pending = self.pending();
            pending.events = IndexMap::new();
            pending.overflown = true;
        }
        self.wake();
    }

    /// The database was restored or has gone back: nobody knows what changed.
    pub(super) fn begin_anew(&self) {
        let mut pending = self.pending();
        pending.events = IndexMap::new();
        pending.anew = true;
        drop(pending);
        self.wake();
    }

    pub(super) fn wake(&self) {
        self.wakeup.notify_one();
    }

    pub(super) fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
