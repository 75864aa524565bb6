//! SQL: one file an aggregate, noun-first names; statements of over 25 lines are in `sql/`.
//!
//! A function that joins a larger transaction takes the connection and ends in `_in_tx`.

pub mod db;
pub mod error;
pub mod migrate;
pub mod run_read;
pub mod run_row;

pub use db::{Db, DbSettings, Work};
pub use error::StoreError;
