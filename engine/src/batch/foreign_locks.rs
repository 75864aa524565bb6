//! A run that a stranger keeps locked holds up nobody but itself.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use uuid::Uuid;

use crate::db::{Db, StoreError};
use crate::store::run::report::run_locked;

/// For how long a run that was found locked is looked at before a round that names it.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Goes around runs that are locked for longer than a round waits. A round waits for each of them once; then they are looked at first,
/// until they are free.
#[derive(Debug)]
pub struct LockedRuns {
    db: Db,
    /// What was found locked, and when last.
    found: Mutex<HashMap<Uuid, Instant>>,
}

impl LockedRuns {
    pub fn new(db: Db) -> Self {
        Self { db, found: Mutex::default() }
    }

    /// Does `work` that names these runs, but for those that it is told are locked; answers what came of it, and which those are.
    pub async fn around<T, F>(
        &self,
        runs: &[Uuid],
        mut work: impl FnMut(HashSet<Uuid>) -> F,
    ) -> Result<(T, HashSet<Uuid>), StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut locked = self.look(self.suspects(runs)).await?;
        loop {
            match work(locked.clone()).await {
                Err(StoreError::LockTimeout) => {
                    let found = self.look(runs.to_vec()).await?;
                    if found.is_subset(&locked) {
                        // It was something else, or is free by now.
                        return Err(StoreError::LockTimeout);
                    }
                    tracing::warn!(runs = ?found, "runs are locked by somebody else; their writes wait, others go on");
                    locked.extend(found);
                }
                done => return done.map(|done| (done, locked)),
            }
        }
    }

    /// Those that were locked when they were last looked at.
    fn suspects(&self, runs: &[Uuid]) -> Vec<Uuid> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.is_empty() {
            return Vec::new();
        }
        found.retain(|_, at| at.elapsed() < REMEMBERED);
        runs.iter().filter(|run| found.contains_key(run)).copied().collect()
    }

    /// Those that are locked now.
    async fn look(&self, runs: Vec<Uuid>) -> Result<HashSet<Uuid>, StoreError> {
        if runs.is_empty() {
            return Ok(HashSet::new());
        }
        let looked = runs.clone();
        let locked = self.db.read(runs, |c, runs| run_locked(c, runs).boxed()).await?;
        let locked: HashSet<Uuid> = locked.into_iter().collect();
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        looked.iter().for_each(|run| {
            found.remove(run);
        });
        found.extend(locked.iter().map(|run| (*run, Instant::now())));
        Ok(locked)
    }
}
