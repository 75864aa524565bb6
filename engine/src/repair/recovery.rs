//! Repairs what dead workers leave behind: ends grants whose lease no heartbeat kept alive.
//!
//! Every server does it as soon as its poll finds such a grant, so the runs of a dead worker are offered again, or have failed with
//! `HeartbeatTimeout`, within the lease and 2 s.

use std::sync::Arc;

use futures::FutureExt;

use crate::Engine;
use crate::db::{Class, StoreError};
use crate::repair::driver::{Done, Repair, Trigger};
use crate::store::run::lease::run_expire;
use crate::store::worker::record::worker_mark_lost;

pub(super) fn repair(engine: Arc<Engine>) -> Repair {
    Repair::new("recovery", Trigger::Found(|found| found.overdue), move || once(engine.clone()))
}

async fn once(engine: Arc<Engine>) -> Result<Done, StoreError> {
    let db = engine.db(Class::Engine);
    let workers_lost = db.write((), |c, ()| worker_mark_lost(c).boxed()).await?;
    let mut leases_ended = 0;
    loop {
        let (leases, effects) = db.write((), |c, ()| run_expire(c).boxed()).await?;
        engine.wakeups.send(effects);
        let ended = leases.requeued + leases.ended;
        engine.metrics.grant_ended("lost", ended);
        leases_ended += ended as u64;
        if !leases.more {
            return Ok(Done::until_nothing([("leases_ended", leases_ended), ("workers_lost", workers_lost)]));
        }
    }
}
