//! Whether workers keep their streams while only the database is away: their servers are there.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::lab::deployment::Deployment;
use crate::lab::plan::Step;

/// Who lost a stream at the end of an outage has another one by now.
const AFTERWARDS: Duration = Duration::from_secs(3);

/// How things were before.
pub(super) struct Before {
    begun: u64,
    accepted: u64,
}

/// Looks, if this is an outage of the database and of nothing else.
pub(super) fn look(deployment: &Deployment, step: &Step) -> Option<Before> {
    let begun = deployment.disturbances.alone().filter(|_| step.fault.action().ends_postgres())?;
    Some(Before { begun, accepted: accepted(deployment) })
}

/// Holds the workers to it, unless something else has been done meanwhile.
pub(super) async fn stayed(deployment: &Arc<Deployment>, before: Option<Before>) {
    let Some(before) = before else { return };
    sleep(AFTERWARDS).await;
    let now = accepted(deployment);
    if deployment.disturbances.alone_since(before.begun) {
        deployment.findings.count("outages of the database alone");
        if now != before.accepted {
            let more = now - before.accepted;
            deployment.findings.violation(format!("workers connected {more} times while only the database was away"));
        }
    }
}

/// How often workers have connected.
fn accepted(deployment: &Deployment) -> u64 {
    deployment.worker_proxies.iter().flatten().map(|line| line.accepted()).sum()
}
