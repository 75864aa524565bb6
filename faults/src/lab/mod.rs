//! The acting half: a database, servers and workers as real processes, faults by a plan, and what all of them wrote down.
//!
//! In reading order: a `plan` is made from the seed, a `keeper` keeps a process alive, `database`, `server` and `worker`
//! say what is kept, the `house`(self) has all of them, `deeds` do what is planned, `health` looks on, and
//! `run`(run::run) is a run from its beginning to its end.

mod deed;
mod plan;

mod keeper;
pub(crate) mod logs;

mod database;
mod server;
mod worker;

mod disk;
mod wellness;

mod house;

mod deeds;
mod health;

mod cast;
mod settle;

mod run;

pub use deed::Deed;
pub use disk::own_mounts;
pub use run::{Options, Report, run};
