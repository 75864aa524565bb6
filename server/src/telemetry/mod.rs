//! What the server lets be seen of itself: [`metrics`], those of the [`process`] among them, and [`spans`] of calls and runs.
//! docs/observability.md names them all.

pub mod metrics;
pub mod process;
pub mod spans;

pub use metrics::Metrics;
