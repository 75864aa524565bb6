//! Repairs what dead workers leave behind: ends leases that no heartbeat kept alive.
//!
//! Each replica does it each second, so that a dead worker's runs are offered again, or failed with `HeartbeatTimeout`,
//! within the lease and 2 s. The rounds also say that the lease service is alive: if none did for 5 s, leases begin anew.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::ticker;
use crate::engine::Engine;
use crate::engine::hints::Topic;
use crate::store::StoreError;
use crate::store::lease::{Expired, lease_service_round, run_expire};
use crate::store::worker::worker_mark_lost;

const PERIOD: Duration = Duration::from_secs(1);

/// What a round ended.
#[derive(Debug, Default, PartialEq)]
struct Recovered {
    leases: Expired,
    workers_lost: u64,
}

pub async fn run(engine: Arc<Engine>, closing: CancellationToken) {
    ticker::each("recovery", PERIOD, closing, || once(&engine)).await;
}

async fn once(engine: &Engine) -> Result<Recovered, StoreError> {
    let round = engine.db.run(|c| {
        Box::pin(async move {
            let resumed = lease_service_round(c).await?;
            let leases = run_expire(c).await?;
            Ok((resumed, Recovered { leases, workers_lost: worker_mark_lost(c).await? }))
        })
    });
    let (resumed, recovered) = round.await?;
    engine.metrics.lease_rounds.inc();
    engine.metrics.grant_ended("lost", recovered.leases.requeued + recovered.leases.ended);
    if resumed {
        tracing::info!("the lease service has resumed: leases begin anew");
        engine.metrics.lease_service_resumed.inc();
    }
    if recovered.leases != Expired::default() {
        engine.hints.give(Topic::Changes);
        engine.hints.give(Topic::Cancels);
    }
    if recovered.leases.requeued > 0 {
        engine.hints.give(Topic::Work);
    }
    Ok(recovered)
}
