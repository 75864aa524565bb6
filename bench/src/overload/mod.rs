//! Offers a server ten times its capacity, from callers that do not wait for each other, and checks the promises that must still hold.
//!
//! In reading order: `worker` executes runs, `callers` enqueue them, [`run`](run::run) puts both before a real server, and `report` is
//! the result.

mod worker;

mod callers;

mod report;
mod run;

pub use run::{Options, run};
