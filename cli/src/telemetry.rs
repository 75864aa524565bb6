//! Logging: to standard error, for people on a terminal and as JSON otherwise.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::{args::Command, errors::UsageError, output::colour};

/// Begins to log, as OPS_LOG says, or as is usual for the command.
pub(crate) fn start(command: &Command) -> Result<(), UsageError> {
    let filter = match std::env::var("OPS_LOG") {
        Ok(filter) if !filter.is_empty() => filter,
        _ => usual_filter(command).to_owned(),
    };
    let filter = EnvFilter::try_new(&filter).map_err(|error| {
        UsageError::new(format!("OPS_LOG: expected a filter such as `info` or `server=debug`: {error}"))
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    if io::stderr().is_terminal() {
        builder.with_target(false).with_ansi(colour::on_stderr()).init()
    } else {
        builder.json().flatten_event(true).init()
    }
    Ok(())
}

/// Whoever runs for long keeps a log; whoever speaks to a person says only what is wrong.
fn usual_filter(command: &Command) -> &'static str {
    match command {
        Command::Serve(_) | Command::Migrate(_) => "info",
        Command::Worker(worker) if worker.verb.is_none() => "info",
        _ => "warn",
    }
}
