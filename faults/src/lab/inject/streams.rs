//! Checks that workers keep their streams while only the database is away.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::lab::deployment::Deployment;
use crate::lab::plan::Step;

/// After this time a worker that lost its stream has another one.
const AFTERWARDS: Duration = Duration::from_secs(3);

/// The state before the fault.
pub(super) struct Before {
    begun: u64,
    accepted: u64,
}

/// The state before an outage of the database alone; none for other faults.
pub(super) fn look(deployment: &Deployment, step: &Step) -> Option<Before> {
    let begun = deployment.disturbances.alone().filter(|_| step.fault.action().ends_postgres())?;
    Some(Before { begun, accepted: accepted(deployment) })
}

/// Checks the workers, unless another fault has begun.
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

/// How many connections workers have opened.
fn accepted(deployment: &Deployment) -> u64 {
    deployment.worker_proxies.iter().flatten().map(|line| line.accepted()).sum()
}
