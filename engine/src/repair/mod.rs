//! Repairs: the work that a clock triggers. Each is idempotent and needs no input, so every server does all of them.
//!
//! The `driver` runs them. Most wait for the `poll`, which asks the database each second what there is to do; the others have a
//! period of their own. [`status`] has the result of each, for the metrics and for `ops doctor`.

mod backlog;
mod cancels;
mod clock;
mod counters;
mod driver;
mod due;
mod poll;
mod recovery;
mod retention;
pub mod status;
mod vacuum;

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Engine;
use crate::repair::driver::Repair;
use crate::repair::status::Repairs;

/// Drives all repairs until `closing`. Returns their statuses.
pub fn start(engine: &Arc<Engine>, tasks: &mut JoinSet<()>, closing: &CancellationToken) -> Repairs {
    let mut repairs = vec![
        clock::repair(engine.clone()),
        recovery::repair(engine.clone()),
        cancels::repair(engine.clone()),
        counters::repair(engine.clone()),
        due::repair(engine.clone()),
        vacuum::repair(engine.clone(), closing.clone()),
        backlog::repair(engine.clone()),
        retention::repair(engine.clone()),
    ];
    let wakers = repairs.iter().filter_map(Repair::waker).collect();
    repairs.push(poll::repair(engine.clone(), wakers));
    driver::start(repairs, &engine.metrics, tasks, closing)
}
