//! The control plane of Ops Control Room, as a library over the [`engine`].
//!
//! On the way of a call: `transport` serves connections; `edge` has what holds for every call; `services` has a folder for each
//! service of the contract, with its conversions, use cases and handlers. `http` serves what is not gRPC, `telemetry` measures, and
//! `memory` gives memory back. [`run`], in `app`, puts a server together from its `config`; `database_url` reads the database's URL.
//! [`doctor`] stands apart: it examines a database before a server
//! uses it.

mod app;
mod config;
mod database_url;
pub mod doctor;
mod edge;
mod http;
mod memory;
mod services;
mod telemetry;
mod transport;

pub use app::{Error, check, migrate, run};
pub use config::{Config, DatabaseConfig};
pub use database_url::place;
pub use engine::EngineSettings;
pub use engine::domain::Limits;
pub use transport::TransportConfig;

/// The functions that the fuzz targets in `fuzz/` call.
#[cfg(fuzzing)]
pub mod fuzzing {
    pub use crate::edge::status::status_of;
    pub use crate::services::{artifact, run, session, worker};
    pub use engine::domain::{Limits, json};
}
