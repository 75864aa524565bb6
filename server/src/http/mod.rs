//! Plain HTTP on the same port.

pub mod health;

pub use health::Readiness;
