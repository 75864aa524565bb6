//! What is asked of the system while faults are injected: everything from one seed.
//!
//! In reading order: a [`Script`] is what a run does, [`Book`] is what is known to all clients, [`Caller`] reaches the
//! servers, and then each kind of actor has a file.

mod book;
mod caller;
mod script;

mod client;
mod counters;
mod enqueue;
pub mod parked;
mod raw;
mod sql;
mod unary;
mod watcher;

pub mod work;

pub use book::Book;
pub use caller::Caller;
pub use client::Client;
pub use raw::RawWorker;
pub use script::{End, KIND, Script};
pub use sql::SqlClient;
pub use unary::UnaryWorker;
pub use watcher::Watcher;
