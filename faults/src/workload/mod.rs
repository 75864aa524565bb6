//! The load during the faults, all chosen by the seed.
//!
//! In reading order: a [`Script`] says what a run does, [`Known`] has the sessions and runs that all clients know,
//! [`Caller`] reaches the servers, and then each kind of actor has a file.

mod caller;
mod known;
mod script;

mod client;
pub mod parked;
mod raw;
mod sql;
mod unary;
mod watcher;

pub mod work;

pub use caller::Caller;
pub use client::Client;
pub use known::Known;
pub use raw::RawWorker;
pub use script::{End, KIND, Script};
pub use sql::SqlClient;
pub use unary::UnaryWorker;
pub use watcher::Watcher;
