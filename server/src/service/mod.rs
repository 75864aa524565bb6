//! The use cases, one file an aggregate: the only callers of the engine and the store from the edge.

pub mod artifacts;
pub mod error;
pub mod runs_read;
pub mod sessions;
pub mod workers_read;

pub use error::ServiceError;
