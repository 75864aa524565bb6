//! A worker's stream, and every write of a grant.
//!
//! A stream's life: [`open`] registers it as a [`connection`] in the [`registry`]; [`serve`] handles each frame until the stream
//! ends. The [`connection`] has its [`grants`]. `worker_grants`, [`results`], [`leases`] and [`events`] write what the worker reports;
//! [`cancels`] sends it the orders from the database; [`releases`] gives back grants that did not begin.

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
