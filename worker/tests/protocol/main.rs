//! Tests of the worker against a scripted server.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the message")]

mod cuts;
mod fake;
mod scene;

mod outage;
mod runs;
