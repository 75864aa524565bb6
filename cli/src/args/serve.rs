//! `ops serve`

use clap::Args;

use super::listen::Listen;

/// Runs a server on a PostgreSQL database. Any number of them may share one database; each may die at any time.
#[derive(Args, Debug)]
#[command(after_help = "\
On SIGTERM or Ctrl-C it stops in order: workers are told to go elsewhere, streams end, what is begun is written; a second \
signal exits at once.")]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) listen: Listen,
    /// The database, as postgres://USER:PASSWORD@HOST:PORT/NAME
    #[arg(long, env = "OPS_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) database_url: String,
}

impl ServeArgs {
    /// What the server is told.
    pub(crate) fn config(&self) -> server::Config {
        server::Config { database_url: self.database_url.clone(), ..server::Config::default() }
    }
}
