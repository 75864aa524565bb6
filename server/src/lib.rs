//! The control plane of Ops Control Room, as a library.
//!
//! From the edge downwards: [`grpc`] and [`http`] convert and call [`service`], the use cases; these call [`engine`], the hot
//! path, and [`store`], the SQL; [`domain`] has the types and rules that all share. [`background`] repairs what time brings.

pub mod domain;
mod engine;
mod grpc;
mod http;
mod service;
mod store;
