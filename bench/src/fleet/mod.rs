//! Lean workers: they speak the protocol, do nothing else, and so measure the engine and not the worker runtime.
//!
//! `seen` is what all workers of a fleet have seen, `stream` is the stream of one worker, [`Fleet`] starts workers and waits for
//! what they see. The stream is written for this program, since the worker runtime would be part of every figure.

mod seen;
mod stream;
mod workers;

pub use seen::Execution;
pub use workers::Fleet;
