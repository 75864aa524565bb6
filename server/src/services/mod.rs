//! The services of the contract, a folder each: `convert.rs` (generated types to the domain's and back), the use cases, and
//! `grpc.rs`, whose handlers are three steps: convert, call, convert. [`routes`] lists them once.

pub mod artifact;
pub mod health;
pub mod routes;
pub mod run;
pub mod session;
pub mod worker;
