//! Tests with the real PostgreSQL of this machine: killed owners, leftovers, faults, and the shared cluster.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod faults;
mod leftovers;
mod owner;
mod sharing;
