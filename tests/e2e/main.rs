//! End to end, in process: real PostgreSQL, real gRPC on a port of its own for each test. A module is a behaviour.

mod support;

mod enqueue;
mod worker_runtime;
