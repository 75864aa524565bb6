//! Batches go around rows that other transactions keep locked, so a locked row delays only its own writes.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use uuid::Uuid;

use crate::EngineError;
use crate::db::{Db, StoreError};
use crate::store::run::lock::{run_key_locked, run_locked};
use crate::store::session::lock::session_key_locked;

/// For how long each batch first checks a row that was found locked.
const REMEMBERED: Duration = Duration::from_secs(60);

/// A row that is locked in so many checks in a row is worth a warning: about a second after the first.
const WARNED_AT: u32 = 4;

/// The locks that a batch takes.
#[derive(Debug, Clone, Copy)]
pub enum Locks {
    /// On runs, to change them.
    Runs,
    /// On the keys of runs, to refer to them.
    RunKeys,
    /// On the keys of sessions, to enqueue into them.
    SessionKeys,
}

/// How work waits for locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// So briefly that no caller notices: if a row is locked, the work is done without it.
    Briefly,
    /// As any unit of work. Something was locked that is none of the rows, or is free by now.
    Long,
}

/// Knows the rows that other transactions keep locked for longer than a batch waits. A batch waits briefly for each of them, once. From then
/// on each batch checks them first, and leaves them out until they are free.
#[derive(Debug)]
pub struct LockedRows {
    db: Db,
    locks: Locks,
    /// The rows that were found locked.
    found: Mutex<HashMap<Uuid, FoundLocked>>,
}

/// A row that was found locked.
#[derive(Debug, Clone, Copy)]
struct FoundLocked {
    /// When last.
    at: Instant,
    /// In how many checks in a row.
    times: u32,
}

impl LockedRows {
    pub fn new(db: Db, locks: Locks) -> Self {
        Self { db, locks, found: Mutex::default() }
    }

    /// Does `work` on these rows. It gets the set of locked rows, and leaves them out. Returns its result and the locked rows.
    pub async fn around<T, F>(
        &self,
        rows: &[Uuid],
        mut work: impl FnMut(HashSet<Uuid>, Wait) -> F,
    ) -> Result<(T, HashSet<Uuid>), StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut locked = self.find_locked(self.suspects(rows)).await?;
        let mut wait = Wait::Briefly;
        loop {
            match work(locked.clone(), wait).await {
                Err(StoreError::LockTimeout) => {
                    let found = self.find_locked(rows.to_vec()).await?;
                    if !found.is_subset(&locked) {
                        locked.extend(found);
                        wait = Wait::Briefly;
                    } else if wait == Wait::Briefly {
                        wait = Wait::Long;
                    } else {
                        return Err(StoreError::LockTimeout);
                    }
                }
                done => return done.map(|done| (done, locked)),
            }
        }
    }

    /// Does `work` on the items whose rows are free, if there are any. `rows` names the rows of an item. Returns the result of the work and
    /// the locked rows.
    pub async fn around_items<I, K, T, F>(
        &self,
        items: Arc<[I]>,
        rows: impl Fn(&I) -> K,
        mut work: impl FnMut(Arc<[I]>, Wait) -> F,
    ) -> Result<(T, HashSet<Uuid>), StoreError>
    where
        I: Clone,
        K: IntoIterator<Item = Uuid>,
        T: Default,
        F: Future<Output = Result<T, StoreError>>,
    {
        let all: Vec<Uuid> = items.iter().flat_map(&rows).collect();
        self.around(&all, |locked, wait| {
            let free: Arc<[I]> = match locked.is_empty() {
                true => items.clone(),
                false => items.iter().filter(|item| is_free(rows(item), &locked)).cloned().collect(),
            };
            let working = (!free.is_empty()).then(|| work(free, wait));
            async move {
                match working {
                    Some(working) => working.await,
                    None => Ok(T::default()),
                }
            }
        })
        .await
    }

    /// Does `work` as `around_items` does, and returns the result of each item, in order. A locked item fails with `LockTimeout`.
    pub async fn around_each<I, K, T, F>(
        &self,
        items: Arc<[I]>,
        rows: impl Fn(&I) -> K,
        work: impl FnMut(Arc<[I]>, Wait) -> F,
    ) -> Result<Vec<Result<T, EngineError>>, StoreError>
    where
        I: Clone,
        K: IntoIterator<Item = Uuid>,
        F: Future<Output = Result<Vec<T>, StoreError>>,
    {
        let (done, locked) = self.around_items(items.clone(), &rows, work).await?;
        let mut done = done.into_iter();
        let result = |item| match is_free(rows(item), &locked) {
            true => {
                done.next().ok_or_else(|| StoreError::defect("a batch has answered fewer items than it got").into())
            }
            false => Err(StoreError::LockTimeout.into()),
        };
        Ok(items.iter().map(result).collect())
    }

    /// Warns of rows that stay locked. A lock of a moment is nothing to warn of.
    fn warn(&self, found: &[Uuid]) {
        if found.is_empty() {
            return;
        }
        match self.locks {
            Locks::Runs | Locks::RunKeys => {
                tracing::warn!(runs = ?found, "other transactions have locked runs; their writes wait, others go on");
            }
            Locks::SessionKeys => {
                tracing::warn!(sessions = ?found, "other transactions have locked sessions, which take no runs; others go on");
            }
        }
    }

    /// The rows that were locked when they were last checked.
    fn suspects(&self, rows: &[Uuid]) -> Vec<Uuid> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.is_empty() {
            return Vec::new();
        }
        found.retain(|_, locked| locked.at.elapsed() < REMEMBERED);
        rows.iter().filter(|row| found.contains_key(row)).copied().collect()
    }

    /// The rows that are locked now.
    async fn find_locked(&self, mut rows: Vec<Uuid>) -> Result<HashSet<Uuid>, StoreError> {
        if rows.is_empty() {
            return Ok(HashSet::new());
        }
        rows.sort_unstable();
        rows.dedup();
        let (checked, locks) = (rows.clone(), self.locks);
        let locked = self.db.read(rows, move |c, rows| match locks {
            Locks::Runs => run_locked(c, rows).boxed(),
            Locks::RunKeys => run_key_locked(c, rows).boxed(),
            Locks::SessionKeys => session_key_locked(c, rows).boxed(),
        });
        let locked: HashSet<Uuid> = locked.await?.into_iter().collect();
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stay = Vec::new();
        for row in checked {
            let times = found.remove(&row).map_or(1, |before| before.times.saturating_add(1));
            if locked.contains(&row) {
                found.insert(row, FoundLocked { at: Instant::now(), times });
                if times == WARNED_AT {
                    stay.push(row);
                }
            }
        }
        drop(found);
        self.warn(&stay);
        Ok(locked)
    }
}

/// How long a call waits for a row of its own that another transaction has locked, and how long before it tries again.
const CALL_WAITS: Duration = Duration::from_secs(2);
const CALL_TRIES_AFTER: Duration = Duration::from_millis(50);

/// Tries the write of one call until its row is not locked any more, for 2 s at most. A batch does not wait for it.
pub async fn in_spite_of_locks<T, F>(write: impl Fn() -> F) -> Result<T, EngineError>
where
    F: Future<Output = Result<T, EngineError>>,
{
    let until = Instant::now() + CALL_WAITS;
    loop {
        match write().await {
            Err(EngineError::Store(StoreError::LockTimeout)) if Instant::now() < until => {
                tokio::time::sleep(CALL_TRIES_AFTER).await;
            }
            done => return done,
        }
    }
}

/// Whether none of these rows is locked.
fn is_free(rows: impl IntoIterator<Item = Uuid>, locked: &HashSet<Uuid>) -> bool {
    !rows.into_iter().any(|row| locked.contains(&row))
}
