//! Telemetry of the engine: its [`metrics`], and [`spans`] of runs. docs/observability.md names all of them.

pub mod metrics;
pub mod spans;

pub use metrics::Metrics;
