//! SessionService.

pub mod convert;
pub mod grpc;
pub mod sessions;
