//! Against the real PostgreSQL of this machine: owners that are killed, leftovers, faults, and what the tests share.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod faults;
mod leftovers;
mod owner;
mod sharing;
