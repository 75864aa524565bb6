//! The database connections: [`Db`] runs units of work, a [`gate`] bounds what requests may use of it; [`migrate`] brings the
//! schema up to date, and [`listen`] receives NOTIFY.

pub mod error;
pub mod gate;
pub mod listen;
pub mod migrate;
pub mod pool;
mod warm;

pub use error::StoreError;
pub use pool::{Class, DatabaseUrl, Db, DbSettings, Work};
pub use sqlx::PgConnection;
