//! `ops doctor`

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{listen::ListenAddress, target::ServerAddress, values::duration};

/// Examines a database, servers and an address to listen on: what is wrong, why it matters, and how to mend it.
#[derive(Args, Debug)]
#[command(after_help = "\
It only reads, and continues after a fault. It examines only what these options name.

Exit status: 0 nothing is wrong (a note is not a fault), 1 something is, 2 usage.

Examples:
  ops doctor --database-url-file /run/secrets/ops-database
  ops doctor --config /etc/ops.toml --server http://10.0.0.5:7070 -o json")]
pub(crate) struct DoctorArgs {
    /// The database, as postgres://USER:PASSWORD@HOST:PORT/NAME
    #[arg(long, env = "OPS_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) database_url: Option<String>,
    /// Addresses of servers
    #[arg(long, env = "OPS_SERVER", value_delimiter = ',', value_name = "URL,..")]
    pub(crate) server: Vec<ServerAddress>,
    /// An address on which a server on this machine will listen
    #[arg(long, env = "OPS_LISTEN", value_name = "ADDRESS")]
    pub(crate) listen: Option<ListenAddress>,
    /// Connections to the database that one server may take
    #[arg(long, env = "OPS_DATABASE_CONNECTIONS", value_name = "COUNT", default_value_t = 20)]
    pub(crate) database_connections: u32,
    /// The duration from which an open transaction is too long
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    pub(crate) long_transaction: Duration,
    /// What to print: for people, or for programs
    #[arg(short, long, value_enum, default_value_t = DoctorFormat::Table)]
    pub(crate) output: DoctorFormat,
}

/// The output format of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DoctorFormat {
    Table,
    Json,
}
