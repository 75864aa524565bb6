//! The program `ops` as a process: what it prints, and with what it exits.
//!
//! [`ops::program`] runs it.

#![expect(clippy::unwrap_used, reason = "what is not as a test expects ends it")]

#[path = "ops/mod.rs"]
mod ops;
