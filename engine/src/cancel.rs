//! Cancelling all runs of a session.

use futures::FutureExt;
use uuid::Uuid;

use crate::Engine;
use crate::db::{Class, StoreError};
use crate::store::run::cancel::{CancelProgress, session_cancel_page};
use crate::wakeups::Topic;

/// Cancels all runs of a cancelled session, in pages. What is cancelled already stays as it is.
pub async fn cancel_runs(engine: &Engine, session_id: Uuid) -> Result<(), StoreError> {
    let mut after = Uuid::nil();
    loop {
        let page = engine.db(Class::Engine).transaction((session_id, after), |c, (session_id, after)| {
            session_cancel_page(c, *session_id, *after).boxed()
        });
        let progress = page.await?;
        engine.hints.give(Topic::Cancels);
        engine.hints.give(Topic::Changes);
        match progress {
            CancelProgress::After(last) => after = last,
            CancelProgress::Done => return Ok(()),
        }
    }
}
