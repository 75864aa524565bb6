//! Work on the database: [`Db`] runs units of work on its `connections`, and a [`gate`] bounds how many run at a time; [`migrate`] brings
//! the schema up to date, [`listen`] receives NOTIFY, and [`clock`] makes ids by the database's clock. [`url`] says where the database is,
//! `opening` finds its primary, [`pooler`] finds a pooler that a server can not use, and `abandoned` ends what missed its deadline.

pub mod clock;
pub mod error;
pub mod gate;
pub mod listen;
pub mod migrate;
mod parameters;
pub mod pool;
pub mod pooler;
pub mod url;

mod abandoned;
mod connections;
mod opening;

pub use error::StoreError;
pub use pool::{Class, Db, DbSettings, Work};
pub use sqlx::PgConnection;
pub use url::DatabaseUrl;
