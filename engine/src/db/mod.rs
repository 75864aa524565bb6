//! Work on the database: [`Db`] runs units of work on its `connections`, and a [`gate`] bounds how many run at a time; [`migrate`] brings
//! the schema up to date, and [`listen`] receives NOTIFY. [`url`] says where the database is, `opening` finds its primary, and
//! `abandoned` ends what missed its deadline.

pub mod error;
pub mod gate;
pub mod listen;
pub mod migrate;
pub mod pool;
pub mod url;

mod abandoned;
mod connections;
mod opening;

pub use error::StoreError;
pub use pool::{Class, Db, DbSettings, Work};
pub use sqlx::PgConnection;
pub use url::DatabaseUrl;
