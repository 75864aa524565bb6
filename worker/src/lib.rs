//! The worker runtime: one stream to the control plane, over which runs are taken, kept alive, cancelled and reported, and
//! the handlers that execute them. It knows only the contract (`ops.v1`).
//!
//! In reading order: what a user of the library meets first, then what carries it, the pure rules before the loop.

mod config;
mod error;
mod handler;

mod artifact;
mod context;
mod log_entry;
mod params;
mod stop;

mod outcome;
mod worker;

mod grants;
mod heartbeats;
mod outage;
mod reports;

mod event_outbox;
mod event_queue;

mod attempt;
mod backoff;
mod connection;
mod evidence;
mod spans;
mod wire;

mod metrics;
mod monitor;

mod drain;
mod frames_in;
mod frames_out;
mod runtime;
mod session;

pub mod probe;

pub use artifact::{ArtifactContent, ArtifactError};
pub use config::{Lane, WorkerConfig};
pub use context::{RunContext, RunInfo};
pub use error::WorkerError;
pub use handler::{Failure, Handler, HandlerError};
pub use log_entry::{Content, Level, LogEntry};
pub use monitor::Monitor;
pub use stop::{StopCause, StopReason};
pub use worker::{DrainedBy, Worker, WorkerBuilder, WorkerStatus, WorkerSummary};
