//! The use cases, one file an aggregate: the only callers of the engine and the store from the edge.

pub mod artifacts;
pub mod connect;
pub mod error;
pub mod observe;
pub mod runs;
pub mod runs_read;
pub mod session_end;
pub mod sessions;
pub mod stream;
mod stream_grants;
pub mod tail;
pub mod watch;
pub mod watch_token;
pub mod workers;
pub mod workers_read;

pub use error::ServiceError;
