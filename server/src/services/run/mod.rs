//! RunService. [`runs`] enqueues, reads and cancels runs; [`watch`] and [`tail`] stream them.

pub mod convert;
pub mod grpc;
pub mod runs;
pub mod tail;
pub mod watch;
pub mod watch_token;
