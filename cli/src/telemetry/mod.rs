//! Log and spans of the process. The log goes to standard error, as text on a terminal and as JSON otherwise. Spans go
//! to a collector, if one is configured.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    args::{Command, traces::TraceArgs},
    errors::UsageError,
    output::colour,
};

mod export;
mod logged;

pub(crate) use export::Spans;

/// Starts the log, with the filter in OPS_LOG or else the command's default, and the export of spans. Call it inside
/// the runtime. The returned value sends the last spans.
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

/// Commands that run for long log from `info`. Verbs, which a person reads, log warnings only.
fn usual_filter(command: &Command) -> &'static str {
    match command {
        Command::Serve(_) | Command::Migrate(_) => "info",
        Command::Worker(worker) if worker.verb.is_none() => "info",
        _ => "warn",
    }
}

/// The trace arguments of a command, and its default service name.
fn traces(command: &Command) -> Option<(&TraceArgs, &'static str)> {
    match command {
        Command::Serve(serve) => Some((&serve.traces, "ops-server")),
        Command::Worker(worker) if worker.verb.is_none() => Some((&worker.run.traces, "ops-worker")),
        Command::Dev(dev) => Some((&dev.traces, "ops-dev")),
        _ => None,
    }
}
