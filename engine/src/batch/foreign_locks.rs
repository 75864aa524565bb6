//! Batches go around rows that other transactions keep locked, so a locked row delays only its own writes.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use uuid::Uuid;

use crate::EngineError;
use crate::db::{Db, StoreError};
use crate::store::run::enqueue::session_key_locked;
use crate::store::run::report::{run_key_locked, run_locked};

/// For how long each batch first checks a row that was found locked.
const REMEMBERED: Duration = Duration::from_secs(60);

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

/// Knows the rows that other transactions keep locked for longer than a batch waits. A batch waits for each of them once. From then on
/// each batch checks them first, and leaves them out until they are free.
#[derive(Debug)]
pub struct LockedRows {
    db: Db,
    locks: Locks,
    /// The rows that were found locked, and when last.
    found: Mutex<HashMap<Uuid, Instant>>,
}

impl LockedRows {
    pub fn new(db: Db, locks: Locks) -> Self {
        Self { db, locks, found: Mutex::default() }
    }

    /// Does `work` on these rows. It gets the set of locked rows, and leaves them out. Returns its result and the locked rows.
    pub async fn around<T, F>(
        &self,
        rows: &[Uuid],
        mut work: impl FnMut(HashSet<Uuid>) -> F,
    ) -> Result<(T, HashSet<Uuid>), StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut locked = self.find_locked(self.suspects(rows)).await?;
        loop {
            match work(locked.clone()).await {
                Err(StoreError::LockTimeout) => {
                    let found = self.find_locked(rows.to_vec()).await?;
                    if found.is_subset(&locked) {
                        // Something else was locked, or the row is free by now.
                        return Err(StoreError::LockTimeout);
                    }
                    self.warn(&found);
                    locked.extend(found);
                }
                done => return done.map(|done| (done, locked)),
            }
        }
    }

    fn warn(&self, found: &HashSet<Uuid>) {
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
        found.retain(|_, at| at.elapsed() < REMEMBERED);
        rows.iter().filter(|row| found.contains_key(row)).copied().collect()
    }

    /// The rows that are locked now.
    async fn find_locked(&self, rows: Vec<Uuid>) -> Result<HashSet<Uuid>, StoreError> {
        if rows.is_empty() {
            return Ok(HashSet::new());
        }
        let (checked, locks) = (rows.clone(), self.locks);
        let locked = self.db.read(rows, move |c, rows| match locks {
            Locks::Runs => run_locked(c, rows).boxed(),
            Locks::RunKeys => run_key_locked(c, rows).boxed(),
            Locks::SessionKeys => session_key_locked(c, rows).boxed(),
        });
        let locked: HashSet<Uuid> = locked.await?.into_iter().collect();
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        checked.iter().for_each(|row| {
            found.remove(row);
        });
        found.extend(locked.iter().map(|row| (*row, Instant::now())));
        Ok(locked)
    }
}

/// The result of each item of a batch: `LockTimeout` for a locked item, and for the others those of `done`, in order.
pub fn around_locked<T>(is_locked: impl Iterator<Item = bool>, done: Vec<T>) -> Vec<Result<T, EngineError>> {
    let mut done = done.into_iter();
    let result = |is_locked| match is_locked {
        true => Err(StoreError::LockTimeout.into()),
        false => done.next().ok_or_else(|| StoreError::defect("a batch has answered fewer items than it got").into()),
    };
    is_locked.map(result).collect()
}
