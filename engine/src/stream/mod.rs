//! The streams of this server's workers, and every write of a grant. What happens on one stream is in [`crate::serve`].
//!
//! The [`registry`] has a [`connection`] for each stream, and the connection has its [`grants`]. [`results`], [`leases`] and [`events`]
//! write what all workers report; [`orders`] sends workers the orders from the database; [`unaccepted`] takes back what a worker does
//! not accept in time, and [`offers`] bounds it; [`replaced`] ends streams whose workers have newer ones elsewhere; [`releases`] gives back
//! grants that did not start.

pub mod connection;
pub mod events;
pub mod grants;
pub mod leases;
pub mod offers;
pub mod orders;
pub mod registry;
pub mod releases;
pub mod replaced;
pub mod results;
pub mod unaccepted;
