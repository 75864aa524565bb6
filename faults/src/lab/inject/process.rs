//! Faults of a server or worker process.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep_until};

use crate::lab::supervisor::Supervisor;

/// How long a process may take to shut down before SIGKILL.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(12);

/// Kills a process, and starts it again at the end.
pub(super) async fn kill(supervisor: &Supervisor, end: Instant) {
    supervisor.down(Signal::SIGKILL, SHUTDOWN_TIMEOUT).await;
    sleep_until(end).await;
    supervisor.up().await;
}

/// Stops a process (SIGSTOP), and resumes it at the end.
pub(super) async fn stop(supervisor: &Supervisor, end: Instant) {
    let Some(process) = supervisor.process() else { return };
    process.signal(Signal::SIGSTOP);
    sleep_until(end).await;
    process.signal(Signal::SIGCONT);
}

/// Shuts a process down (SIGTERM), and starts it again at the end.
pub(super) async fn terminate(supervisor: &Supervisor, end: Instant) {
    supervisor.down(Signal::SIGTERM, SHUTDOWN_TIMEOUT).await;
    sleep_until(end).await;
    supervisor.up().await;
}
