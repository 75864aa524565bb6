//! Telemetry of a worker: counts (`metrics`), a port with health and metrics (`monitor`), and traces (`spans`).

pub(crate) mod metrics;
pub(crate) mod monitor;
pub(crate) mod spans;
