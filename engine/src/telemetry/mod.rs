//! What can be seen of the engine: its [`metrics`], and [`spans`] of runs. docs/observability.md names them all.

pub mod metrics;
pub mod spans;

pub use metrics::Metrics;
