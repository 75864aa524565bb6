//! Cancelling all runs of a session.

use futures::FutureExt;
use uuid::Uuid;

use crate::Engine;
use crate::db::{Class, StoreError};
use crate::store::run::cancel::{CANCEL_PAGE, session_cancel_page, session_cancel_runs_in_tx};

/// Cancels all runs of a cancelled session, in pages, except the runs that other transactions have locked. A run that is already
/// cancelled does not change. Returns whether no run was locked.
pub async fn cancel_runs(engine: &Engine, session_id: Uuid) -> Result<bool, StoreError> {
    let db = engine.db(Class::Engine);
    let (mut after, mut all) = (Uuid::nil(), true);
    loop {
        let page = db.list((), move |c, ()| session_cancel_page(c, session_id, after).boxed()).await?;
        let Some(last) = page.last().copied() else { return Ok(all) };
        let cancelled = engine.locked_runs.around(&page, |locked, _| {
            let free: Vec<Uuid> = page.iter().filter(|run| !locked.contains(run)).copied().collect();
            db.transaction(free, move |c, free| session_cancel_runs_in_tx(c, session_id, free).boxed())
        });
        let (effects, locked) = cancelled.await?;
        engine.wakeups.send(effects);
        all &= locked.is_empty();
        if page.len() < CANCEL_PAGE as usize {
            return Ok(all);
        }
        after = last;
    }
}
