//! Periodic repairs: idempotent, without input, each returns counts. What fails is logged and tried again.

pub mod backlog;
pub mod cancels;
pub mod counters;
pub mod due;
pub mod poll;
pub mod recovery;
pub mod retention;
pub mod ticker;
pub mod vacuum;

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Engine;

/// Starts all of them.
pub fn start(engine: &Arc<Engine>, tasks: &mut JoinSet<()>, closing: &CancellationToken) {
    let wakes = Arc::new(poll::Wakes::default());
    tasks.spawn(recovery::run(engine.clone(), wakes.clone(), closing.clone()));
    tasks.spawn(cancels::run(engine.clone(), wakes.clone(), closing.clone()));
    tasks.spawn(counters::run(engine.clone(), wakes.clone(), closing.clone()));
    tasks.spawn(due::run(engine.clone(), wakes.clone(), closing.clone()));
    tasks.spawn(vacuum::run(engine.clone(), wakes.clone(), closing.clone()));
    tasks.spawn(poll::run(engine.clone(), wakes, closing.clone()));
    tasks.spawn(backlog::run(engine.clone(), closing.clone()));
    tasks.spawn(retention::run(engine.clone(), closing.clone()));
}
