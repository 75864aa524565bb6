//! Deletes old rows: changes after an hour, request ids after 24 hours, and orders to revoke a grant after a minute in which no stream of
//! their worker took them.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;

use crate::Engine;
use crate::db::{Class, StoreError};
use crate::repair::driver::{Done, Repair, Trigger};
use crate::store::feed::feed_prune;
use crate::store::request::id::request_id_prune;
use crate::store::run::orders::order_prune;

const PERIOD: Duration = Duration::from_secs(30);

pub(super) fn repair(engine: Arc<Engine>) -> Repair {
    Repair::new("retention", Trigger::Each(PERIOD), move || once(engine.clone()))
}

async fn once(engine: Arc<Engine>) -> Result<Done, StoreError> {
    let db = engine.db(Class::Engine);
    Ok(Done::changed([
        ("changes", db.write((), |c, ()| feed_prune(c).boxed()).await?),
        ("request_ids", db.write((), |c, ()| request_id_prune(c).boxed()).await?),
        ("orders", db.write((), |c, ()| order_prune(c).boxed()).await?),
    ]))
}
