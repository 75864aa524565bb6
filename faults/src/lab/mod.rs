//! Runs a database, servers and workers as real processes, injects faults by a plan, and collects the histories.
//!
//! In reading order: `fault` has the kinds of faults, and `plan` chooses them by the seed. A `supervisor` keeps a
//! process alive, `database`, `server` and `worker` are the processes, and a `deployment` is all of them.
//! `disturbances` knows which faults are active, `inject` carries out the plan, `monitor` checks the servers during it,
//! `actors` starts the load, `settle` ends it, and [`run`](run::run) is a run from start to end.

mod fault;
mod plan;

pub(crate) mod logs;
mod supervisor;

mod database;
mod server;
mod worker;

mod disk;
mod disturbances;

mod deployment;

mod inject;
mod monitor;

mod actors;
mod settle;

mod run;

pub use disk::own_mounts;
pub use fault::Fault;
pub use run::{Options, Report, run};
