//! The control plane of Ops Control Room, as a library.
//!
//! From the edge downwards: `transport` serves connections; `grpc` and `http` convert and call `service`, the use cases; these
//! call `engine`, the hot path, and `store`, the SQL; `domain` has the types and rules that all share. `background` repairs what
//! time brings; `telemetry` is what can be seen of all that. [`run`] in `app` wires it all. [`doctor`] stands apart: it examines
//! a database before a server uses it.

mod app;
mod background;
mod config;
pub mod doctor;
mod domain;
mod engine;
mod grpc;
mod http;
mod service;
mod store;
mod telemetry;
mod transport;

pub use app::{Error, check, migrate, run};
pub use config::{Config, DatabaseConfig, EngineConfig};
pub use domain::Limits;
pub use transport::TransportConfig;

/// What the fuzz targets in `fuzz/` call.
#[cfg(fuzzing)]
pub mod fuzzing {
    pub use crate::domain::{Limits, json};
    pub use crate::grpc::convert;
}
