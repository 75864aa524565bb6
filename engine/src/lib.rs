//! The execution core of Ops Control Room: sessions, runs, grants, leases, events and the change feed, over PostgreSQL. It knows
//! neither gRPC nor HTTP.
//!
//! In reading order, from the ground up: [`domain`] has the types and rules; [`db`] runs units of database work; [`store`] is the
//! SQL; [`batch`] turns many callers into one statement; [`enqueue`] writes new runs; [`dispatch`] decides which worker gets which
//! run; [`stream`] has the streams of workers and writes what they report; [`watch`] sends changes to watchers; [`repair`] does what a clock
//! triggers. [`wakeups`] wake them, and [`Engine`] puts them together. [`serve`]
//! is what happens on the stream of a worker.

pub mod domain;

pub mod db;
pub mod store;

pub mod batch;
pub mod dispatch;
pub mod enqueue;
pub mod idempotent;
pub mod stream;
pub mod wakeups;
pub mod watch;

pub mod repair;
pub mod telemetry;

mod engine;
mod error;
pub mod serve;
pub mod session_cancel;
pub mod settings;

pub use engine::{Engine, EngineStop};
pub use error::EngineError;
pub use settings::EngineSettings;
