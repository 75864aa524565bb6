//! Asks the database each second, in one statement, what there is to do, and wakes the loop that does it. A wakeup may be lost and a
//! server may die: the poll finds the work that they left. An idle server asks the database for nothing else.

use std::sync::Arc;
use std::time::SystemTime;

use futures::FutureExt;

use crate::Engine;
use crate::db::{Class, StoreError};
use crate::repair::driver::{Done, Repair, Trigger, Waker};
use crate::settings::POLL_INTERVAL;
use crate::store::poll::{Found, poll};
use crate::wakeups::Topic;

pub(super) fn repair(engine: Arc<Engine>, wakers: Vec<Waker>) -> Repair {
    let wakers: Arc<[Waker]> = wakers.into();
    Repair::new("poll", Trigger::Each(POLL_INTERVAL), move || once(engine.clone(), wakers.clone()))
}

async fn once(engine: Arc<Engine>, wakers: Arc<[Waker]>) -> Result<Done, StoreError> {
    let (db, asked, streams) = (engine.db(Class::Engine), SystemTime::now(), engine.registry.epochs());
    let (found, now) = db.write(streams, |c, streams| poll(c, streams).boxed()).await?;
    db.clock().note(now, asked);
    wake(&engine, found);
    wakers.iter().for_each(|waker| waker.polled(&found));
    Ok(Done::changed([]))
}

fn wake(engine: &Engine, found: Found) {
    engine.metrics.lease_checks.inc();
    if found.resumed {
        tracing::info!("no server checked the leases for some time: they begin anew");
        engine.metrics.lease_service_resumed.inc();
    }
    if found.claimable {
        engine.wakeups.give_here(Topic::Work);
    }
    if found.orders {
        engine.wakeups.give_here(Topic::Orders);
    }
    if found.replaced {
        engine.wakeups.give_here(Topic::Streams);
    }
}
