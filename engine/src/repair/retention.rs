//! Forgets what is kept for a time only: changes for an hour, request ids for 24 hours, orders that nobody was there to hear.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::Engine;
use crate::db::{Class, StoreError};
use crate::repair::ticker;
use crate::store::feed::feed_prune;
use crate::store::run::cancel::cancel_prune;
use crate::store::run::due::request_id_prune;

const PERIOD: Duration = Duration::from_secs(30);

/// What was forgotten.
#[derive(Debug, Default, PartialEq)]
struct Pruned {
    changes: u64,
    request_ids: u64,
    orders: u64,
}

pub async fn run(engine: Arc<Engine>, closing: CancellationToken) {
    ticker::each("retention", PERIOD, closing, || once(&engine)).await;
}

async fn once(engine: &Engine) -> Result<Pruned, StoreError> {
    let db = engine.db(Class::Engine);
    Ok(Pruned {
        changes: db.write((), |c, ()| feed_prune(c).boxed()).await?,
        request_ids: db.write((), |c, ()| request_id_prune(c).boxed()).await?,
        orders: db.write((), |c, ()| cancel_prune(c).boxed()).await?,
    })
}
