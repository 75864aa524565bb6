//! What is done to a process.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep_until};

use crate::lab::supervisor::Supervisor;

/// How long a process may take to end in order; then whoever asked it kills it.
const PATIENCE: Duration = Duration::from_secs(12);

/// It is killed, and comes back when this is over.
pub(super) async fn kill(supervisor: &Supervisor, end: Instant) {
    supervisor.down(Signal::SIGKILL, PATIENCE).await;
    sleep_until(end).await;
    supervisor.up().await;
}

/// It stops in its tracks, and goes on when this is over.
pub(super) async fn stop(supervisor: &Supervisor, end: Instant) {
    let Some(process) = supervisor.process() else { return };
    process.signal(Signal::SIGSTOP);
    sleep_until(end).await;
    process.signal(Signal::SIGCONT);
}

/// It is asked to end, and comes back when this is over.
pub(super) async fn terminate(supervisor: &Supervisor, end: Instant) {
    supervisor.down(Signal::SIGTERM, PATIENCE).await;
    sleep_until(end).await;
    supervisor.up().await;
}
