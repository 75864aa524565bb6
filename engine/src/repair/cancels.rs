//! Repairs cancels that no worker confirms: 5 s after the grace it revokes the grant and cancels the run, unconfirmed. It also continues
//! the cancel of a session if the server that began it died before it reached all runs.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use uuid::Uuid;

use crate::Engine;
use crate::db::{Class, StoreError};
use crate::repair::driver::{Done, Repair, Trigger};
use crate::session_cancel::cancel_runs;
use crate::store::run::cancel::{run_cancel_unconfirmed, session_cancel_open};

pub(super) fn repair(engine: Arc<Engine>) -> Repair {
    let finished = Arc::default();
    let once = move || once(engine.clone(), Arc::clone(&finished));
    Repair::new("cancels", Trigger::Found(|found| found.unfinished_cancels), once)
}

/// `finished` has the sessions whose runs all have a cancel. They take no more runs, so one look at each is enough, however long its runs
/// take to stop. A session with a locked run is looked at again.
async fn once(engine: Arc<Engine>, finished: Arc<Mutex<HashSet<Uuid>>>) -> Result<Done, StoreError> {
    let (ended, effects) = engine.db(Class::Engine).write((), |c, ()| run_cancel_unconfirmed(c).boxed()).await?;
    engine.wakeups.send(effects);
    let open = engine.db(Class::Engine).read((), |c, ()| session_cancel_open(c).boxed()).await?;
    let open: HashSet<Uuid> = open.into_iter().collect();
    let lock = || finished.lock().unwrap_or_else(PoisonError::into_inner);
    lock().retain(|session| open.contains(session));
    let unfinished: Vec<Uuid> = open.difference(&lock()).copied().collect();
    for session in unfinished {
        if cancel_runs(&engine, session).await? {
            lock().insert(session);
        }
    }
    Ok(Done::until_nothing([("runs_cancelled", ended as u64)]))
}
