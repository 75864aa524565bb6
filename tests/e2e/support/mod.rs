//! What the tests share: a house with servers and clients, workers real and by hand, and ways to wait.

mod house;
mod outcome;
mod poll;
mod refusal;
mod stream;
mod watcher;
mod wire;
mod worker;

pub use house::{House, Server, spec};
pub use outcome::{cancelled, failed, failed_for_good, snoozed, succeeded};
pub use poll::{DEADLINE, eventually, in_time};
pub use refusal::reason;
pub use stream::{Stream, hello, resume};
pub use watcher::Watcher;
pub use wire::Wire;
pub use worker::{Handle, LiveWorker};
