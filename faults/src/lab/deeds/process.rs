//! What is done to a process.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep_until};

use super::super::keeper::Keeper;

/// How long a process may take to end in order; then whoever asked it kills it.
const PATIENCE: Duration = Duration::from_secs(12);

/// It is killed, and comes back when this is over.
pub(super) async fn kill(keeper: &Keeper, end: Instant) {
    keeper.down(Signal::SIGKILL, PATIENCE).await;
    sleep_until(end).await;
    keeper.up().await;
}

/// It stops in its tracks, and goes on when this is over.
pub(super) async fn stop(keeper: &Keeper, end: Instant) {
    let Some(life) = keeper.life() else { return };
    life.signal(Signal::SIGSTOP);
    sleep_until(end).await;
    life.signal(Signal::SIGCONT);
}

/// It is asked to end, and comes back when this is over.
pub(super) async fn ask(keeper: &Keeper, end: Instant) {
    keeper.down(Signal::SIGTERM, PATIENCE).await;
    sleep_until(end).await;
    keeper.up().await;
}
