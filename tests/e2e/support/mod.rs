//! Shared by the tests: a fixture with servers and clients, real workers and scripted ones, and ways to wait.

mod fixture;
mod grpcurl;
mod locks;
mod outcome;
mod plain;
mod poll;
mod python;
pub mod readme;
mod refusal;
mod relay;
mod stream;
mod time;
mod unary;
mod watcher;
mod wire;
mod worker;

pub use fixture::{Fixture, Server, spec};
pub use grpcurl::{Grpcurl, tool};
pub use locks::{hold_starts, waiting_for_locks};
pub use outcome::{cancelled, failed, failed_for_good, snoozed, succeeded};
pub use plain::get;
pub use poll::{eventually, in_time};
pub use python::{PythonWorker, events, in_kind};
pub use refusal::reason;
pub use relay::{Flow, Relay};
pub use stream::{Stream, hello, resume};
pub use time::{passes, passes_unserved, two_lease_checks};
pub use unary::Unary;
pub use watcher::Watcher;
pub use wire::Wire;
pub use worker::{Handle, LiveWorker};
