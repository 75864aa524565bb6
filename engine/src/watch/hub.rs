//! The watch hub: one reader of the change feed in each server, for all its watchers.
//!
//! The feed says only *that* runs changed. The hub reads each changed run once, and delivers it to the watchers that it concerns. While
//! nobody watches, it reads nothing. A slow watcher delays no other one: only the newest state of each run waits for it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::db::{Db, StoreError};
use crate::domain::{Run, TenantId};
use crate::settings::{OUTAGE_RETRY_DELAY, POLL_INTERVAL};
use crate::store::database::{DatabaseIdentity, database_identity};
use crate::store::feed::{FeedBatch, FeedCursor, feed_cursor, feed_read};
use crate::store::run::read::run_get_many;
use crate::wakeups::{Topic, Wakeups};
use crate::watch::subscriber::{Interest, RunNews, Subscriber};
use crate::watch::subscribers::Subscribers;
use crate::watch::subscription::Subscription;

/// Runs that one statement reads. Runs of the largest size must fit into memory.
pub const READ_PAGE: usize = 100;

/// How far the hub has read, and in which database.
#[derive(Debug, Clone)]
struct Place {
    cursor: FeedCursor,
    identity: DatabaseIdentity,
    /// The number of connections that were opened when the identity was read.
    opened: u64,
}

/// Delivers changes to the watchers that they concern.
#[derive(Debug)]
pub struct ChangeHub {
    db: Db,
    wakeups: Wakeups,
    subscribers: Arc<Subscribers>,
    /// When the feed was read last.
    read_at: Mutex<Instant>,
}

impl ChangeHub {
    pub fn new(db: Db, wakeups: Wakeups) -> Arc<Self> {
        Arc::new(Self { db, wakeups, subscribers: Arc::default(), read_at: Mutex::new(Instant::now()) })
    }

    /// Registers an interest. Every change that commits after this returns reaches the subscription.
    pub async fn subscribe(&self, tenant: TenantId, interest: Interest) -> Subscription {
        let subscriber = Arc::new(Subscriber::new(tenant, interest));
        self.subscribers.add(subscriber.clone());
        // The subscription unregisters itself when it is dropped, also while this waits.
        let subscription = Subscription::new(self.subscribers.clone(), subscriber);
        self.subscribers.barrier().await;
        subscription
    }

    /// The number of watchers, and how long ago the feed was read for them.
    pub fn watchers(&self) -> (usize, Duration) {
        let watchers = self.subscribers.lock().len();
        let read_at = *self.read_at.lock().unwrap_or_else(PoisonError::into_inner);
        (watchers, if watchers > 0 { read_at.elapsed() } else { Duration::ZERO })
    }

    /// Reads the feed while somebody watches, until `closing`.
    pub async fn run(self: Arc<Self>, closing: CancellationToken) {
        let mut place: Option<Place> = None;
        loop {
            if self.subscribers.lock().is_empty() {
                place = None;
                tokio::select! {
                    () = self.subscribers.wanted() => {}
                    () = closing.cancelled() => return,
                }
            }
            let number = self.subscribers.read_begins();
            let pause = match self.read(place.as_ref()).await {
                Ok(Some(next)) => {
                    place = Some(next);
                    self.subscribers.read_ended(number);
                    *self.read_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                    POLL_INTERVAL
                }
                Ok(None) => {
                    tracing::warn!("the database was restored or has gone back; watchers begin anew");
                    place = None;
                    continue;
                }
                Err(error) => {
                    tracing::warn!(%error, "the change feed can not be read; watchers wait");
                    OUTAGE_RETRY_DELAY
                }
            };
            tokio::select! {
                () = self.wakeups.awaited(Topic::Changes) => {}
                () = self.subscribers.wanted() => {}
                () = tokio::time::sleep(pause) => {}
                () = closing.cancelled() => return,
            }
        }
    }

    /// Reads the changes since a place, and delivers them. Returns the next place. `None`: the place is in another feed, so that the
    /// changes are not known.
    async fn read(&self, place: Option<&Place>) -> Result<Option<Place>, StoreError> {
        let opened = self.db.opened();
        let Some(Place { cursor, identity, .. }) = place.filter(|place| place.opened == opened) else {
            let identity = self.identity().await?;
            if let Some(place) = place.filter(|place| place.identity == identity) {
                return Box::pin(self.read(Some(&Place { opened, ..place.clone() }))).await;
            }
            if place.is_some() {
                self.begin_anew();
                return Ok(None);
            }
            let cursor = self.db.read((), |c, ()| feed_cursor(c).boxed()).await?;
            self.deliver(&[], &cursor);
            return Ok(Some(Place { cursor, identity, opened }));
        };
        let batch = self.db.read(cursor.clone(), |c, cursor| feed_read(c, cursor).boxed()).await?;
        let FeedBatch { run_ids, event_run_ids, overflown, cursor, is_other } = batch;
        // A connection that was opened meanwhile may have led to another database.
        if is_other || (self.db.opened() != opened && self.identity().await? != *identity) {
            self.begin_anew();
            return Ok(None);
        }
        let next = |cursor| Ok(Some(Place { cursor, identity: identity.clone(), opened }));
        if overflown {
            self.subscribers.lock().values().for_each(|subscriber| subscriber.overflow());
            return next(cursor);
        }
        let wanted = self.wanted_runs(run_ids);
        let mut news = Vec::with_capacity(wanted.len());
        for page in wanted.chunks(READ_PAGE) {
            news.extend(read_news(&self.db, page).await?);
        }
        self.deliver(&news, &cursor);
        self.wake_for_events(&event_run_ids);
        next(cursor)
    }

    async fn identity(&self) -> Result<DatabaseIdentity, StoreError> {
        let (identity, _) = self.db.read((), |c, ()| database_identity(c).boxed()).await?;
        Ok(identity)
    }

    fn begin_anew(&self) {
        self.subscribers.lock().values().for_each(|subscriber| subscriber.begin_anew());
    }

    /// The changed runs that may concern a watcher, each once.
    fn wanted_runs(&self, changed: Vec<(String, Uuid)>) -> Vec<(TenantId, Uuid)> {
        let subscribers = self.subscribers.lock();
        let (mut tenants, mut runs) = (HashSet::new(), HashSet::new());
        for subscriber in subscribers.values() {
            match &subscriber.interest {
                Interest::Filter(_) => tenants.insert(subscriber.tenant.as_str().to_owned()),
                Interest::Run(id) => runs.insert(*id),
            };
        }
        let changed: BTreeSet<(String, Uuid)> =
            changed.into_iter().filter(|(tenant, id)| tenants.contains(tenant) || runs.contains(id)).collect();
        changed.into_iter().map(|(tenant, id)| (TenantId::new(&tenant), id)).collect()
    }

    fn deliver(&self, news: &[RunNews], cursor: &FeedCursor) {
        for subscriber in self.subscribers.lock().values() {
            subscriber.add(news, cursor);
        }
    }

    fn wake_for_events(&self, runs: &[Uuid]) {
        for subscriber in self.subscribers.lock().values() {
            if matches!(subscriber.interest, Interest::Run(id) if runs.contains(&id)) {
                subscriber.wake();
            }
        }
    }
}

/// The current state of these runs. A run that is missing was deleted.
pub async fn read_news(db: &Db, page: &[(TenantId, Uuid)]) -> Result<Vec<RunNews>, StoreError> {
    let ids: Vec<Uuid> = page.iter().map(|(_, id)| *id).collect();
    let runs = db.read(ids, |c, ids| run_get_many(c, ids).boxed()).await?;
    let mut runs: HashMap<Uuid, Arc<Run>> = runs.into_iter().map(|run| (run.id, Arc::new(run))).collect();
    let news = |(tenant, id): &(TenantId, Uuid)| match runs.remove(id) {
        Some(run) => RunNews::Now(run),
        None => RunNews::Deleted(tenant.clone(), *id),
    };
    Ok(page.iter().map(news).collect())
}
