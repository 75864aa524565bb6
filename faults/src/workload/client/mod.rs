//! A client. `state` is its struct, `run` its loop, and the other files have its calls.

mod state;

mod end;
mod enqueue;
mod read;

mod run;

pub use state::Client;
