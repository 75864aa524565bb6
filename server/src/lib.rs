//! The control plane of Ops Control Room, as a library over the [`engine`].
//!
//! From the edge downwards: `transport` serves connections; `edge` has what holds for every call; `services` has a folder for
//! each service of the contract, with its conversions, use cases and handlers; `http` has what is not gRPC. `telemetry` collects
//! the metrics. [`run`] in `app` wires it all. [`doctor`] stands apart: it examines a database before a server uses it.

mod app;
mod config;
pub mod doctor;
mod edge;
mod http;
mod services;
mod telemetry;
mod transport;

pub use app::{Error, check, migrate, run};
pub use config::{Config, DatabaseConfig};
pub use engine::EngineSettings;
pub use engine::domain::Limits;
pub use transport::TransportConfig;

/// What the fuzz targets in `fuzz/` call.
#[cfg(fuzzing)]
pub mod fuzzing {
    pub use crate::edge::status::status_of;
    pub use crate::services::{artifact, run, session, worker};
    pub use engine::domain::{Limits, json};
}
