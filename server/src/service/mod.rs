//! The use cases, one file an aggregate: the only callers of the engine and the store from the edge.

pub mod error;

pub use error::ServiceError;
