//! Claims whose answer was lost. Such a claim may be committed, so its runs may belong to workers that will never hear of them.
//!
//! Each claim writes its [`ClaimKey`] into its runs. By this key the server finds them, and gives them back, except those with which a
//! repeated call was answered meanwhile.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use uuid::Uuid;

use crate::db::Db;
use crate::store::request::claim_call::ClaimCall;
use crate::store::run::claim::{ClaimKey, run_claim_undo_in_tx};
use crate::wakeups::Wakeups;

/// How long a lost claim is looked for: longer than its statement can live, because it may commit late.
const WATCH: Duration = Duration::from_secs(60);

/// Names the claims of this server, and gives back the lost ones.
#[derive(Debug)]
pub struct LostClaims {
    db: Db,
    wakeups: Wakeups,
    server_id: Uuid,
    /// The number of the next claim.
    next: AtomicI64,
    lost: Mutex<Vec<LostClaim>>,
}

/// A claim whose answer was lost.
#[derive(Debug, Clone)]
struct LostClaim {
    key: ClaimKey,
    /// The calls that can be repeated for which it claimed.
    calls: Vec<Arc<ClaimCall>>,
    /// How long it is looked for.
    until: Instant,
}

impl LostClaims {
    pub fn new(db: Db, wakeups: Wakeups, server_id: Uuid) -> Self {
        Self { db, wakeups, server_id, next: AtomicI64::new(0), lost: Mutex::default() }
    }

    /// The key of a new claim.
    pub fn new_key(&self) -> ClaimKey {
        ClaimKey { server_id: self.server_id, number: self.next.fetch_add(1, Ordering::Relaxed) }
    }

    /// The answer of this claim was lost. It claimed for these calls, among others.
    pub fn add(&self, key: ClaimKey, calls: Vec<Arc<ClaimCall>>) {
        self.lock().push(LostClaim { key, calls, until: Instant::now() + WATCH });
    }

    /// Whether no lost claim is looked for.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Gives back the runs of all lost claims that are committed by now.
    pub async fn give_back(&self) {
        let lost = self.lock().clone();
        for claim in lost {
            let key = claim.key;
            let undone =
                self.db.transaction(claim, |c, claim| run_claim_undo_in_tx(c, claim.key, &claim.calls).boxed());
            match undone.await {
                Ok((0, _)) => {}
                Ok((_, effects)) => {
                    tracing::info!(claim = key.number, "a claim whose answer was lost was given back");
                    self.wakeups.send(effects);
                }
                Err(error) => {
                    tracing::debug!(%error, "a lost claim can not be looked for yet");
                    return;
                }
            }
        }
        let now = Instant::now();
        self.lock().retain(|claim| claim.until > now);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<LostClaim>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
