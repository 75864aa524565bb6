//! Looks each second, in one statement, at what there is to do, and wakes who does it. A wakeup may be lost and a server may die:
//! what is in the database is found here. An idle server asks for nothing else.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::Engine;
use crate::db::Class;
use crate::store::poll::{Found, poll};
use crate::wakeups::Topic;

const PERIOD: Duration = Duration::from_secs(1);

/// Wakes the repairs.
#[derive(Debug, Default)]
pub struct Wakes {
    pub recovery: Notify,
    pub due: Notify,
    pub cancels: Notify,
    pub counters: Notify,
    pub vacuum: Notify,
}

pub async fn run(engine: Arc<Engine>, wakes: Arc<Wakes>, closing: CancellationToken) {
    loop {
        match engine.db(Class::Engine).write((), |c, ()| poll(c).boxed()).await {
            Ok(found) => wake(&engine, &wakes, found),
            Err(error) => tracing::warn!(%error, "nobody knows what there is to do; it is asked again"),
        }
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = closing.cancelled() => return,
        }
    }
}

fn wake(engine: &Engine, wakes: &Wakes, found: Found) {
    engine.metrics.lease_checks.inc();
    if found.resumed {
        tracing::info!("the lease service has resumed: leases begin anew");
        engine.metrics.lease_service_resumed.inc();
    }
    if found.claimable {
        engine.wakeups.give_here(Topic::Work);
    }
    if found.orders {
        engine.wakeups.give_here(Topic::Cancels);
    }
    let repairs = [
        (found.overdue, &wakes.recovery),
        (found.due, &wakes.due),
        (found.unfinished_cancels, &wakes.cancels),
        (found.counters, &wakes.counters),
        (found.littered, &wakes.vacuum),
    ];
    repairs.into_iter().filter(|(is_due, _)| *is_due).for_each(|(_, repair)| repair.notify_one());
}
