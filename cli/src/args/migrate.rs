//! `ops migrate`

use clap::Args;

use super::serve::usage_error;
use crate::errors::UsageError;

/// Brings the database to this version's schema. A second call changes nothing.
#[derive(Args, Debug)]
pub(crate) struct MigrateArgs {
    /// The database, as postgres://USER:PASSWORD@HOST:PORT/NAME
    #[arg(long, env = "OPS_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) database_url: String,
}

impl MigrateArgs {
    /// The checked configuration.
    pub(crate) fn config(&self) -> Result<server::Config, UsageError> {
        let config = server::Config::new(&self.database_url);
        server::check(&config).map_err(usage_error)?;
        Ok(config)
    }
}
