//! Minimal workers that only speak the protocol, so that a figure measures the engine and not the worker runtime.
//!
//! `seen` has the counts and times of all workers of a fleet, `stream` is the stream of one worker, and [`Fleet`] starts workers and
//! waits for their progress.

mod seen;
mod stream;
mod workers;

pub use seen::Execution;
pub use workers::Fleet;
