//! One watcher as the hub sees it: what it wants to know of, and what waits for it.

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
pub(super) struct Pending {
    /// The newest state of each run, in the order in which they changed first.
    pub(super) events: IndexMap<Uuid, WatchEvent>,
    /// What was put in since it was empty; a run that changes again counts again.
    pub(super) bytes: usize,
    /// All up to here has been handed out. Stays behind after an overflow.
    pub(super) cursor: Option<FeedCursor>,
    pub(super) overflown: bool,
}

/// What the hub knows of a watcher.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) id: u64,
    pub(super) tenant: TenantId,
    pub(super) interest: Interest,
    pending: Mutex<Pending>,
    pub(super) bell: Notify,
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

    pub(super) fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
