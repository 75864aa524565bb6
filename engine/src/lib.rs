//! The execution core of Ops Control Room: sessions, runs, grants, leases, events and the change feed, over PostgreSQL. It knows
//! neither gRPC nor HTTP.
//!
//! The layers, from the ground up; each names only those above it in this list (`tests/tidy/arrows.rs`):
//!
//! - [`domain`]: the types and the rules, without I/O.
//! - [`settings`]: what can be chosen, and constants that several layers share.
//! - [`db`]: units of database work, and their errors.
//! - `error`: [`EngineError`], why a call failed.
//! - [`telemetry`]: the metrics, and the spans of runs.
//! - [`store`]: the SQL.
//! - [`wakeups`]: wake loops, here and in other servers, after a write.
//! - [`batch`]: turns many callers into one statement.
//! - [`idempotent`]: gives one request id one result.
//! - [`listing`]: fills the pages of lists.
//! - [`enqueue`]: writes new runs.
//! - [`watch`]: sends changes to watchers.
//! - [`stream`]: has the streams of workers, and writes what they report.
//! - [`dispatch`]: decides which worker gets which run.
//! - `engine`: [`Engine`], which puts all of these together.
//! - [`serve`]: what happens on the stream of one worker.
//! - [`unary`]: the calls of workers without a stream.
//! - [`session_cancel`]: cancels all runs of a session.
//! - [`repair`]: what a clock triggers.

pub mod domain;
pub mod settings;

pub mod db;
mod error;
pub mod telemetry;

pub mod store;
pub mod wakeups;

pub mod batch;
pub mod idempotent;
pub mod listing;

pub mod dispatch;
pub mod enqueue;
pub mod stream;
pub mod watch;

mod engine;

pub mod repair;
pub mod serve;
pub mod session_cancel;
pub mod unary;

pub use engine::{Engine, EngineStop};
pub use error::EngineError;
pub use settings::EngineSettings;
