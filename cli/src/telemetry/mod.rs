//! What the process says of itself while it runs: a log to standard error, for people on a terminal and as JSON otherwise;
//! and spans to a collector, if one is named.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    args::{Command, traces::TraceArgs},
    errors::UsageError,
    output::colour,
};

mod export;
mod watchful;

pub(crate) use export::Spans;

/// Begins to log, as OPS_LOG says, or as is usual for the command; and to export spans, as the command says. To be called
/// inside the runtime. What is returned sends the last spans.
pub(crate) fn start(command: &Command) -> Result<Spans, UsageError> {
    let filter = match std::env::var("OPS_LOG") {
        Ok(filter) if !filter.is_empty() => filter,
        _ => usual_filter(command).to_owned(),
    };
    let filter = EnvFilter::try_new(&filter).map_err(|error| {
        UsageError::new(format!("OPS_LOG: expected a filter such as `info` or `server=debug`: {error}"))
    })?;
    let (spans, layer) = match traces(command) {
        Some((args, name)) => export::start(args, name)?,
        None => (Spans::default(), None),
    };
    let log = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let log = if io::stderr().is_terminal() {
        log.with_target(false).with_ansi(colour::on_stderr()).boxed()
    } else {
        log.json().flatten_event(true).boxed()
    };
    tracing_subscriber::registry().with(layer).with(log.with_filter(filter)).init();
    Ok(spans)
}

/// Whoever runs for long keeps a log; whoever speaks to a person says only what is wrong.
fn usual_filter(command: &Command) -> &'static str {
    match command {
        Command::Serve(_) | Command::Migrate(_) => "info",
        Command::Worker(worker) if worker.verb.is_none() => "info",
        _ => "warn",
    }
}

/// Where a command's spans go, and what it is called there.
fn traces(command: &Command) -> Option<(&TraceArgs, &'static str)> {
    match command {
        Command::Serve(serve) => Some((&serve.traces, "ops-server")),
        Command::Worker(worker) if worker.verb.is_none() => Some((&worker.run.traces, "ops-worker")),
        Command::Dev(dev) => Some((&dev.traces, "ops-dev")),
        _ => None,
    }
}
