//! The loop of a worker.
//!
//! In reading order: the state that it owns (`state`, and `stream_state` for what belongs to one stream), the loop itself
//! (`run`), how a stream begins and is lost (`stream`), frames from the server (`frames_in`) and to the server (`frames_out`),
//! how a handler executes (`attempt`) and a grant ends (`end`), and how the worker leaves (`drain`, `drain_times`).

pub(crate) mod state;
pub(crate) mod stream_state;

pub(crate) mod run;
pub(crate) mod stream;

pub(crate) mod frames_in;
pub(crate) mod frames_out;

pub(crate) mod attempt;
pub(crate) mod drain;
pub(crate) mod drain_times;
pub(crate) mod end;
