//! `ops migrate`

use std::time::Duration;

use clap::Args;

use super::{serve::usage_error, values::duration};
use crate::errors::UsageError;

/// Brings the database to this version's schema. A second call changes nothing.
#[derive(Args, Debug)]
pub(crate) struct MigrateArgs {
    /// The database, as postgres://USER:PASSWORD@HOST:PORT/NAME
    #[arg(long, env = "OPS_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) database_url: String,
    /// How long it waits for another program that migrates, and for each lock that a migration needs
    #[arg(long, env = "OPS_MIGRATE_TIMEOUT", value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub(crate) migrate_timeout: Duration,
}

impl MigrateArgs {
    /// The checked configuration.
    pub(crate) fn config(&self) -> Result<server::Config, UsageError> {
        let config =
            server::Config { migrate_timeout: self.migrate_timeout, ..server::Config::new(&self.database_url) };
        server::check(&config).map_err(usage_error)?;
        Ok(config)
    }
}
