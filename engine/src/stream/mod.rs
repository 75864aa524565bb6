//! A worker's stream, and every write of a grant.
//!
//! A stream's life: [`open`] registers it as a [`connection`] in the [`registry`]; [`serve`] handles each frame until the stream
//! ends. The [`connection`] knows its [`grants`]. What a worker reports is written by `worker_grants` and [`results`], [`leases`]
//! and [`events`]; [`cancels`] sends it what the database has for it; [`releases`] gives back what was not begun.

mod answers;
pub mod cancels;
pub mod connection;
pub mod events;
pub mod grants;
pub mod leases;
pub mod open;
pub mod registry;
pub mod releases;
pub mod results;
pub mod serve;
mod worker_grants;
