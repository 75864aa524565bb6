//! Tests of the program `ops` as a process: its output and its exit statuses.
//!
//! [`ops::program`] runs it.

#![expect(clippy::unwrap_used, reason = "what is not as a test expects ends it")]

#[path = "ops/mod.rs"]
mod ops;
