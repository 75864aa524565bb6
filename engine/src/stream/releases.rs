//! Gives grants back that did not start.

use std::future::Future;
use std::sync::Arc;

use futures::FutureExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::batch::foreign_locks::{LockedRows, Locks, Wait};
use crate::db::Db;
use crate::settings::OUTAGE_RETRY_DELAY;
use crate::store::run::release::{Release, run_release_unanswered_in_tx};
use crate::wakeups::Wakeups;

/// Grants in one statement.
const BATCH_ITEMS: usize = 500;

/// Where grants are given back. The channel is unbounded because giving back must not fail. The workers' credit bounds the number of
/// grants.
#[derive(Debug, Clone)]
pub struct Releases {
    sender: mpsc::UnboundedSender<Vec<Release>>,
}

impl Releases {
    /// The handle and its loop. When `closing` is cancelled, the loop takes no new grants, gives back those that wait, and ends.
    pub fn new(db: Db, wakeups: Wakeups, closing: CancellationToken) -> (Self, impl Future<Output = ()> + Send) {
        let (sender, mut receiver) = mpsc::unbounded_channel::<Vec<Release>>();
        let run = async move {
            let locked = LockedRows::new(db.clone(), Locks::Runs);
            let mut waiting = Vec::new();
            loop {
                let next = tokio::select! {
                    next = receiver.recv() => next,
                    () = tokio::time::sleep(OUTAGE_RETRY_DELAY), if !waiting.is_empty() => Some(Vec::new()),
                    () = closing.cancelled(), if !receiver.is_closed() => {
                        receiver.close();
                        continue;
                    }
                };
                let Some(mut releases) = next else { return };
                while releases.len() < BATCH_ITEMS
                    && let Ok(more) = receiver.try_recv()
                {
                    releases.extend(more);
                }
                releases.append(&mut waiting);
                waiting = release(&db, &wakeups, &locked, releases).await;
            }
        };
        (Self { sender }, run)
    }

    /// Gives grants back as soon as the database accepts the write.
    pub fn give_back(&self, releases: Vec<Release>) {
        if !releases.is_empty() && self.sender.send(releases).is_err() {
            tracing::debug!("grants are left to their leases: the engine has ended");
        }
    }
}

/// Tries until the database has answered. Returns the grants whose runs or request ids other transactions have locked, to be tried again.
/// The write is guarded, so it may be repeated.
async fn release(db: &Db, wakeups: &Wakeups, locked: &LockedRows, releases: Vec<Release>) -> Vec<Release> {
    let releases: Arc<[Release]> = releases.into();
    let run = |release: &Release| [release.guard.grant.run_id];
    loop {
        let released = locked.around_items(releases.clone(), run, |free, wait| async move {
            match wait {
                Wait::Briefly => db.batch(free, |c, releases| run_release_unanswered_in_tx(c, releases).boxed()).await,
                Wait::Long => {
                    db.transaction(free, |c, releases| run_release_unanswered_in_tx(c, releases).boxed()).await
                }
            }
        });
        match released.await {
            Ok(((released, busy, effects), locked)) => {
                wakeups.send(effects);
                tracing::debug!(asked = releases.len(), released = released.len(), "grants were given back");
                let is_later = |release: &&Release| {
                    let run = &release.guard.grant.run_id;
                    locked.contains(run) || busy.contains(run)
                };
                return releases.iter().filter(is_later).cloned().collect();
            }
            Err(error) if error.is_passing() => tokio::time::sleep(OUTAGE_RETRY_DELAY).await,
            Err(error) => {
                tracing::error!(%error, "grants were not given back; their leases will end");
                return Vec::new();
            }
        }
    }
}
