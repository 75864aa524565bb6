//! The program `ops`. The command line is parsed and checked in [`args`], done in [`commands`], and what goes wrong is told
//! by [`errors`]; [`exit`] holds the numbers that scripts rely on.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

mod args;
mod exit;

mod commands;
mod demo;
mod telemetry;

mod client;
#[cfg(test)]
mod fake;
mod feed;
mod patience;
mod signals;

mod errors;
mod output;

fn main() -> ExitCode {
    // Before anything else: whatever speaks TLS takes the process's provider.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        output::tell("error: another TLS provider was installed first");
        return exit::Exit::Error.into();
    }
    let cli = args::Cli::parse();
    execute(cli).unwrap_or_else(|error| errors::report(&error)).into()
}

fn execute(cli: args::Cli) -> Result<exit::Exit> {
    telemetry::start(&cli.command)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("can not start")?;
    let result = runtime.block_on(commands::execute(cli));
    // A read of standard input may never end; nothing else is left by now.
    runtime.shutdown_background();
    result
}
