//! Plain HTTP on the same port.

pub mod health;
pub mod metrics;

pub use health::Readiness;
