//! RunService: [`runs`] enqueues, reads and cancels; [`watch`] and [`tail`] stream.

pub mod convert;
pub mod grpc;
pub mod runs;
pub mod tail;
pub mod watch;
pub mod watch_token;
