//! WorkerService: [`connect`] is the gRPC side of a worker's stream and [`frames`] converts what flows over it; [`workers`] has the
//! use cases.

pub mod connect;
pub mod convert;
pub mod frames;
pub mod grpc;
pub mod workers;
