//! The program `ops`. [`args`] describes the command line, [`config`] adds environment, file and defaults, [`commands`]
//! executes it, [`errors`] prints what goes wrong, and [`exit`] has the exit statuses that scripts rely on.

use std::process::ExitCode;

use anyhow::{Context, Result};

mod args;
mod config;
mod exit;

mod commands;
mod demo;
mod telemetry;

mod connection;
mod first_process;
mod signals;

mod errors;
mod output;

fn main() -> ExitCode {
    // Before there are threads, so that signals can be blocked.
    if let Some(status) = first_process::supervise() {
        return status;
    }
    // First of all the rest, because every user of TLS takes the process's provider.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        output::tell("error: another TLS provider was installed first");
        return exit::Exit::Error.into();
    }
    let line: Vec<_> = std::env::args_os().collect();
    match config::load(&line) {
        Ok(config::Loaded { cli, origins }) => {
            output::colour::choose(cli.color);
            execute(cli).unwrap_or_else(|error| errors::report(&error, &origins)).into()
        }
        Err(error) => match error.downcast::<clap::Error>() {
            Ok(error) => error.exit(),
            Err(error) => errors::report(&error, &config::Origins::default()).into(),
        },
    }
}

fn execute(cli: args::Cli) -> Result<exit::Exit> {
    if matches!(cli.command, args::Command::Dev(_)) {
        forget_other_databases();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("can not start")?;
    let spans = {
        let _inside = runtime.enter();
        telemetry::start(&cli.command)?
    };
    let result = runtime.block_on(commands::execute(cli));
    spans.finish();
    // A read of standard input may never end. Nothing else runs by now.
    runtime.shutdown_background();
    result
}

/// Removes the variables that say to which PostgreSQL people connect, such as PGHOST, PGSSLMODE and PGOPTIONS. `ops dev` has a
/// PostgreSQL of its own, and the driver would read them for each connection.
fn forget_other_databases() {
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"PG") {
            // SAFETY: no other thread runs yet that could read the environment at the same time.
            unsafe { std::env::remove_var(&name) };
        }
    }
}
