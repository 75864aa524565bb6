//! Repairs what dead workers leave behind: ends leases that no heartbeat kept alive.
//!
//! Each replica does it as soon as its poll finds some, each second, so that a dead worker's runs are offered again, or failed with
//! `HeartbeatTimeout`, within the lease and 2 s.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::poll::Wakes;
use super::ticker;
use crate::engine::Engine;
use crate::engine::hints::Topic;
use crate::store::StoreError;
use crate::store::lease::{Expired, run_expire};
use crate::store::worker::worker_mark_lost;

/// What a round ended.
#[derive(Debug, Default, PartialEq)]
struct Recovered {
    leases: Expired,
    workers_lost: u64,
}

pub async fn run(engine: Arc<Engine>, wakes: Arc<Wakes>, closing: CancellationToken) {
    ticker::woken("recovery", &wakes.recovery, closing, || once(&engine)).await;
}

async fn once(engine: &Engine) -> Result<Recovered, StoreError> {
    let round = engine.db.run(|c| {
        Box::pin(async move {
            let leases = run_expire(c).await?;
            Ok(Recovered { leases, workers_lost: worker_mark_lost(c).await? })
        })
    });
    let recovered = round.await?;
    engine.metrics.grant_ended("lost", recovered.leases.requeued + recovered.leases.ended);
    if recovered.leases != Expired::default() {
        engine.hints.give(Topic::Changes);
        engine.hints.give(Topic::Cancels);
    }
    if recovered.leases.requeued > 0 {
        engine.hints.give(Topic::Work);
    }
    Ok(recovered)
}
