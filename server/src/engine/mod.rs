//! The hot path: what waits together goes together, in rounds ([`rounds`]).
//!
//! In the order of a run's life: [`enqueue`]; [`dispatch`] with [`demand`], [`outlook`] and the streams' [`connection`]s; [`results`];
//! [`events`] and [`leases`] while it runs; [`cancels`]. [`changes`] for who watches,
//! with a [`subscription`] each; [`hints`] wake; [`releases`] give back what was not begun; [`locked_runs`] are gone around.

pub mod bisect;
pub mod budget;
pub mod cancels;
pub mod changes;
pub mod connection;
pub mod demand;
pub mod dispatch;
pub mod enqueue;
pub mod error;
pub mod events;
pub mod grants;
pub mod hints;
pub mod leases;
pub mod locked_runs;
pub mod outlook;
pub mod parts;
pub mod registry;
pub mod releases;
pub mod results;
pub mod rounds;
pub mod settings;
pub mod subscription;

pub use error::EngineError;
pub use parts::{Engine, EngineStop};
pub use settings::EngineSettings;
