//! Repairs cancels that no worker confirms: 5 s after the grace the lease is revoked and the run is cancelled, unconfirmed.
//! And cancelled sessions some of whose runs were not cancelled, because who did so died midway.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Engine;
use crate::cancel::cancel_runs;
use crate::db::{Class, StoreError};
use crate::repair::poll::Wakes;
use crate::repair::ticker;
use crate::store::run::cancel::{run_cancel_unconfirmed, session_cancel_open};

pub async fn run(engine: Arc<Engine>, wakes: Arc<Wakes>, closing: CancellationToken) {
    let finished = Mutex::default();
    ticker::woken("unconfirmed cancels", &wakes.cancels, closing, || once(&engine, &finished)).await;
}

/// `finished` are sessions all of whose runs were asked to stop: they take no more runs, so that each is looked through once,
/// however long its runs take to stop. One with a locked run is looked through again.
async fn once(engine: &Engine, finished: &Mutex<HashSet<Uuid>>) -> Result<usize, StoreError> {
    let (ended, effects) = engine.db(Class::Engine).write((), |c, ()| run_cancel_unconfirmed(c).boxed()).await?;
    engine.wakeups.send(effects);
    let open = engine.db(Class::Engine).read((), |c, ()| session_cancel_open(c).boxed()).await?;
    let open: HashSet<Uuid> = open.into_iter().collect();
    let lock = || finished.lock().unwrap_or_else(PoisonError::into_inner);
    lock().retain(|session| open.contains(session));
    let unfinished: Vec<Uuid> = open.difference(&lock()).copied().collect();
    for session in unfinished {
        if cancel_runs(engine, session).await? {
            lock().insert(session);
        }
    }
    Ok(ended)
}
