//! Ten times as much load as a server can take, from callers that do not wait for each other, and the promises that hold all the same.
//!
//! In reading order: `worker` executes runs, `callers` enqueue them, [`run`](run::run) puts both before a real server, and `report` is
//! the result.

mod worker;

mod callers;

mod report;
mod run;

pub use run::{Options, run};
