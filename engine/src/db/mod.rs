//! Work on the database: [`Db`] runs units of work, and a [`gate`] bounds how many run at a time; [`migrate`] brings the schema up to
//! date, and [`listen`] receives NOTIFY.

pub mod error;
pub mod gate;
pub mod listen;
pub mod migrate;
pub mod pool;
mod warm;

pub use error::StoreError;
pub use pool::{Class, DatabaseUrl, Db, DbSettings, Work};
pub use sqlx::PgConnection;
