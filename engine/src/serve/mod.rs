//! What the engine does for a worker over its stream.
//!
//! [`open`]: a worker connects. `resume`: a worker whose stream was lost connects again. [`frames`] handles each frame of the worker;
//! `worker_grants` writes which grants it accepts and how they end; `answers` has the answer when that fails. `end`: the stream is lost,
//! or has ended.

mod answers;
mod end;
pub mod frames;
pub mod open;
mod resume;
mod worker_grants;
