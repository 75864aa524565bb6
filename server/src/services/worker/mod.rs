//! WorkerService. [`connect`] is the gRPC side of a worker's stream, and [`frames`] converts its frames. [`workers`] has the same
//! operations as unary calls, and lists and drains workers.

pub mod connect;
pub mod convert;
pub mod frames;
pub mod grpc;
pub mod workers;
