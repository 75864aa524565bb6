//! The acting half: a database, servers and workers as real processes, faults by a plan, and what all of them wrote down.
//!
//! In reading order: a `plan` is made from the seed, a `supervisor` keeps a process alive, `database`, `server` and `worker`
//! say what is kept, the `deployment`(self) has all of them, `deeds` do what is planned, `health` looks on, and
//! `run`(run::run) is a run from its beginning to its end.

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
