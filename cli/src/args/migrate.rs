//! `ops migrate`

use clap::Args;

use super::serve::told;
use crate::errors::UsageError;

/// Brings the database to this version's schema. Doing it again does nothing.
#[derive(Args, Debug)]
pub(crate) struct MigrateArgs {
    /// The database, as postgres://USER:PASSWORD@HOST:PORT/NAME
    #[arg(long, env = "OPS_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) database_url: String,
}

impl MigrateArgs {
    /// What the server is told, checked.
    pub(crate) fn config(&self) -> Result<server::Config, UsageError> {
        let config = server::Config::new(&self.database_url);
        server::check(&config).map_err(told)?;
        Ok(config)
    }
}
