//! Work on the database: [`Db`] runs units of work, and a [`gate`] bounds how many run at a time; [`migrate`] brings the schema up to
//! date, [`listen`] receives NOTIFY, [`pooler`] finds a pooler that a server can not use, and [`clock`]
//! makes ids by the database's clock.

pub mod clock;
pub mod error;
pub mod gate;
pub mod listen;
pub mod migrate;
mod parameters;
pub mod pool;
pub mod pooler;
mod warm;

pub use error::StoreError;
pub use pool::{Class, DatabaseUrl, Db, DbSettings, Work};
pub use sqlx::PgConnection;
