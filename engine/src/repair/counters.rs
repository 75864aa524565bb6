//! Folds the counts that batches append into the counters of their sessions, and completes closed sessions whose runs have all ended. A
//! reader of a session adds the counts that are not folded yet.

use std::sync::Arc;

use futures::FutureExt;

use crate::Engine;
use crate::db::{Class, StoreError};
use crate::repair::driver::{Counts, Done, Repair, Trigger};
use crate::store::session::fold::{FOLD_SESSIONS, session_fold_in_tx};

pub(super) fn repair(engine: Arc<Engine>) -> Repair {
    Repair::new("counters", Trigger::Found(|found| found.counters), move || once(engine.clone()))
}

async fn once(engine: Arc<Engine>) -> Result<Done, StoreError> {
    let folded = engine.db(Class::Engine).transaction((), |c, ()| session_fold_in_tx(c).boxed()).await?;
    Ok(Done::Changed {
        // Under load a fold of counters comes each second, and is not worth a line in the log.
        counts: Counts::new([("sessions_completed", folded.completed as u64)]),
        is_more: folded.sessions >= FOLD_SESSIONS,
    })
}
