//! Takes back the runs that workers do not accept in time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::settings::POLL_INTERVAL;
use crate::store::run::release::Release;
use crate::stream::grants::Taken;
use crate::stream::registry::Registry;
use crate::stream::releases::Releases;

/// Looks each second, or more often if leases are short, for runs that were not accepted within `timeout` or half of a `lease`. It takes them
/// back well before their leases end: the end of a lease would count an attempt.
pub async fn run(
    registry: Arc<Registry>,
    releases: Releases,
    timeout: Duration,
    lease: Duration,
    closing: CancellationToken,
) {
    let timeout = timeout.min(lease / 2);
    loop {
        tokio::select! {
            () = tokio::time::sleep(POLL_INTERVAL.min(lease / 8)) => {}
            () = closing.cancelled() => return,
        }
        take_back(&registry, &releases, timeout);
    }
}

fn take_back(registry: &Registry, releases: &Releases, timeout: Duration) {
    let now = Instant::now();
    for connection in registry.all() {
        let Taken { all: late, read } = connection.grants().take_unaccepted(timeout, now);
        if late.is_empty() {
            continue;
        }
        tracing::warn!(worker = %connection.worker_id, runs = late.len(), read = read.len(), "runs were not accepted in time");
        connection.revoke(read);
        let release =
            |grant| Release { guard: connection.guard(grant), started_too: false, undelivered: true, unanswered: None };
        releases.give_back(late.into_iter().map(release).collect());
    }
}
