//! Ten times as much as a server can do, offered by clients who do not wait for each other.
//!
//! In reading order: `samples` keeps how long things took, `fleet` is the workers, `offer` the clients, and
//! `run`(run::run) puts them before a real server and judges what came of it.

mod samples;

mod fleet;
mod offer;

mod report;
mod run;

pub use report::Report;
pub use run::{Options, run};
