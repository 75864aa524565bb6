//! The execution core of Ops Control Room: sessions, runs, grants, leases, events and the change feed, over PostgreSQL. It knows
//! neither gRPC nor HTTP.
//!
//! In reading order, from the ground up: [`domain`] has the types and rules; [`db`] runs units of database work; [`store`] is the
//! SQL; [`batch`] turns many callers into one statement; [`enqueue`] writes new runs; [`dispatch`] decides which worker gets which
//! run; [`stream`] serves a worker and writes its reports; [`unary`] does so for workers without a stream; [`watch`] sends changes to watchers; [`repair`] does what a clock
//! triggers. [`wakeups`] wake them, and [`Engine`] puts them together.

pub mod domain;

pub mod db;
pub mod store;

pub mod batch;
pub mod dispatch;
pub mod enqueue;
pub mod idempotent;
pub mod stream;
pub mod unary;
pub mod wakeups;
pub mod watch;

pub mod repair;
pub mod telemetry;

pub mod cancel;
mod engine;
mod error;
pub mod settings;

pub use engine::{Engine, EngineStop};
pub use error::EngineError;
pub use settings::EngineSettings;
