//! Finds PostgreSQL's programs and runs a private cluster: for `ops dev`, and for every test.
//!
//! A *cluster* is one PostgreSQL server with its files. Everything that belongs to it lies in one folder, its *home*:
//!
//! ```text
//! home/owner.lock     held by the process that owns the cluster, with its pid
//! home/pgdata/        PostgreSQL's data folder, made by initdb and moved here only when complete
//! home/init-*/        an initdb that has not finished; removed by the next owner
//! home/endpoint       port and socket folder, kept across restarts
//! home/socket/        the Unix socket (in a short folder elsewhere when this path is too long for a socket)
//! home/postgres.log   the server's log
//! ```
//!
//! In reading order: [`Programs`] finds PostgreSQL, [`ClusterOptions`] configures a cluster, [`Cluster`] runs it, and
//! [`testing`] shares one among the tests of a process.

mod error;
mod install;
mod programs;

mod account;
mod endpoint;
mod home;
mod lock;
mod options;
mod pidfile;
mod random;
mod url;

mod init;
mod leftovers;
mod postmaster;
mod processes;
mod segment;
mod server;
mod session;
pub mod spawn;
mod temporary;

mod clock;
mod cluster;
mod databases;
mod faults;
pub mod testing;

pub use clock::Clock;
pub use cluster::Cluster;
pub use error::DevpgError;
pub use home::home_of;
pub use install::install_command;
pub use leftovers::remove;
pub use options::ClusterOptions;
pub use programs::Programs;
