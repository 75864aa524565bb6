//! End to end, in process: real PostgreSQL, real gRPC on a port of its own for each test. A module is a behaviour.

mod support;

mod bad_input;
mod cancel;
mod claims;
mod connect;
mod contracts;
mod dropped_calls;
mod enqueue;
mod exactly_once;
mod flood;
mod foreign_locks;
mod grpcurl;
mod hints;
mod http;
mod leases;
mod lock_order;
mod metrics;
mod migrations;
mod outages;
mod outcomes;
mod overload;
mod plans;
mod python;
mod queue;
mod replicas;
mod security;
mod sessions;
mod shutdown;
mod tour;
mod traceparent;
mod turns;
mod waits;
mod watch;
mod weight;
mod worker_runtime;
