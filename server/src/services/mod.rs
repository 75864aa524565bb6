//! The services of the contract, one folder each. `convert.rs` converts generated types to the domain's and back, another file has
//! the use cases, and a handler in `grpc.rs` is three steps: convert, call, convert. [`routes`] puts all services on one router.

pub mod artifact;
pub mod health;
pub mod routes;
pub mod run;
pub mod session;
pub mod worker;
