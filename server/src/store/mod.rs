//! SQL: one file an aggregate, noun-first names; statements of over 25 lines are in `sql/`.
//!
//! A function that joins a larger transaction takes the connection and ends in `_in_tx`.

pub mod artifact;
pub mod backlog;
pub mod cancel;
pub mod change;
pub mod claim;
pub mod counter;
pub mod db;
pub mod due;
pub mod enqueue;
pub mod error;
pub mod event;
pub mod event_append;
pub mod gate;
pub mod lease;
pub mod listen;
pub mod migrate;
pub mod poll;
pub mod release;
pub mod report;
pub mod request;
pub mod request_batch;
pub mod run_read;
pub mod run_row;
pub mod session;
pub mod vacuum;
mod warm;
pub mod worker;
pub mod worker_read;

pub use db::{DatabaseUrl, Db, DbSettings};
pub use error::StoreError;
pub use sqlx::PgConnection;
