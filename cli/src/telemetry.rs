//! Logging: to standard error, for people on a terminal and as JSON otherwise.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::errors::UsageError;

/// The filter when OPS_LOG is not set.
const DEFAULT_FILTER: &str = "info";

/// Begins to log, as OPS_LOG says.
pub(crate) fn start() -> Result<(), UsageError> {
    let filter = match std::env::var("OPS_LOG") {
        Ok(filter) if !filter.is_empty() => filter,
        _ => DEFAULT_FILTER.to_owned(),
    };
    let filter = EnvFilter::try_new(&filter).map_err(|error| {
        UsageError::new(format!("OPS_LOG: expected a filter such as `info` or `server=debug`: {error}"))
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    if io::stderr().is_terminal() {
        builder.with_target(false).init()
    } else {
        builder.json().flatten_event(true).init()
    }
    Ok(())
}
