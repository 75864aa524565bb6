//! A row that another transaction keeps locked holds up nobody but itself.

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

/// For how long a row that was found locked is looked at before a batch that names it.
const REMEMBERED: Duration = Duration::from_secs(60);

/// What a batch locks.
#[derive(Debug, Clone, Copy)]
pub enum Locks {
    /// Runs, to change them.
    Runs,
    /// The keys of runs, to refer to them.
    RunKeys,
    /// The keys of sessions, to enqueue into them.
    SessionKeys,
}

/// Goes around rows that are locked for longer than a batch waits. A batch waits for each of them once; then they are looked at
/// first, until they are free.
#[derive(Debug)]
pub struct LockedRows {
    db: Db,
    locks: Locks,
    /// What was found locked, and when last.
    found: Mutex<HashMap<Uuid, Instant>>,
}

impl LockedRows {
    pub fn new(db: Db, locks: Locks) -> Self {
        Self { db, locks, found: Mutex::default() }
    }

    /// Does `work` that names these rows, but for those that it is given as locked; answers what came of it, and which those are.
    pub async fn around<T, F>(
        &self,
        rows: &[Uuid],
        mut work: impl FnMut(HashSet<Uuid>) -> F,
    ) -> Result<(T, HashSet<Uuid>), StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut locked = self.look(self.suspects(rows)).await?;
        loop {
            match work(locked.clone()).await {
                Err(StoreError::LockTimeout) => {
                    let found = self.look(rows.to_vec()).await?;
                    if found.is_subset(&locked) {
                        // It was something else, or is free by now.
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
                tracing::warn!(runs = ?found, "runs are locked by somebody else; their writes wait, others go on");
            }
            Locks::SessionKeys => {
                tracing::warn!(sessions = ?found, "sessions are locked by somebody else and take no runs; others go on");
            }
        }
    }

    /// Those that were locked when they were last looked at.
    fn suspects(&self, rows: &[Uuid]) -> Vec<Uuid> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.is_empty() {
            return Vec::new();
        }
        found.retain(|_, at| at.elapsed() < REMEMBERED);
        rows.iter().filter(|row| found.contains_key(row)).copied().collect()
    }

    /// Those that are locked now.
    async fn look(&self, rows: Vec<Uuid>) -> Result<HashSet<Uuid>, StoreError> {
        if rows.is_empty() {
            return Ok(HashSet::new());
        }
        let (looked, locks) = (rows.clone(), self.locks);
        let locked = self.db.read(rows, move |c, rows| match locks {
            Locks::Runs => run_locked(c, rows).boxed(),
            Locks::RunKeys => run_key_locked(c, rows).boxed(),
            Locks::SessionKeys => session_key_locked(c, rows).boxed(),
        });
        let locked: HashSet<Uuid> = locked.await?.into_iter().collect();
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        looked.iter().for_each(|row| {
            found.remove(row);
        });
        found.extend(locked.iter().map(|row| (*row, Instant::now())));
        Ok(locked)
    }
}

/// What came of each item of a batch: of a locked one that it is locked, of the others what `done` says, in order.
pub fn around_locked<T>(is_locked: impl Iterator<Item = bool>, done: Vec<T>) -> Vec<Result<T, EngineError>> {
    let mut done = done.into_iter();
    let result = |is_locked| match is_locked {
        true => Err(StoreError::LockTimeout.into()),
        false => done.next().ok_or_else(|| StoreError::defect("a batch has answered less than it was asked").into()),
    };
    is_locked.map(result).collect()
}
