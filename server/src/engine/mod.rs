//! The hot path.

pub mod error;

pub use error::EngineError;
