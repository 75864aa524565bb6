//! Repairs what dead workers leave behind: ends leases that no heartbeat kept alive.
//!
//! Each replica does it as soon as its poll finds some, each second, so that a dead worker's runs are offered again, or failed with
//! `HeartbeatTimeout`, within the lease and 2 s.

use std::sync::Arc;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::Engine;
use crate::db::{Class, StoreError};
use crate::repair::poll::Wakes;
use crate::repair::ticker;
use crate::store::run::lease::run_expire;
use crate::store::worker::record::worker_mark_lost;

/// What a batch ended.
#[derive(Debug, Default, PartialEq)]
struct Recovered {
    leases_ended: usize,
    workers_lost: u64,
}

pub async fn run(engine: Arc<Engine>, wakes: Arc<Wakes>, closing: CancellationToken) {
    ticker::woken("recovery", &wakes.recovery, closing, || once(&engine)).await;
}

async fn once(engine: &Engine) -> Result<Recovered, StoreError> {
    let db = engine.db(Class::Engine);
    let workers_lost = db.write((), |c, ()| worker_mark_lost(c).boxed()).await?;
    let mut recovered = Recovered { leases_ended: 0, workers_lost };
    loop {
        let (leases, effects) = db.write((), |c, ()| run_expire(c).boxed()).await?;
        engine.wakeups.send(effects);
        let ended = leases.requeued + leases.ended;
        engine.metrics.grant_ended("lost", ended);
        recovered.leases_ended += ended;
        if !leases.more {
            return Ok(recovered);
        }
    }
}
