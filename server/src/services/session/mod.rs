//! SessionService.

pub mod convert;
pub mod grpc;
pub mod session_end;
pub mod sessions;
