//! Metrics and spans of the server. [`observe`] reads gauges when the metrics are scraped, [`process`] measures the process, and
//! [`spans`] has the spans of calls.

pub mod observe;
pub mod process;
pub mod spans;
