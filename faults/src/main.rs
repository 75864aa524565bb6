//! The program `faults`. The command line is in [`args`], the rest in the library.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

mod args;
mod run;

use args::{Cli, Command};

fn main() -> ExitCode {
    execute(Cli::parse()).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}

/// 0 if all promises were kept, 1 if one was broken, 2 if the run failed.
fn execute(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Check { folder } => {
            let verdict = faults::checker::check(&folder)?;
            print!("{verdict}");
            Ok(if verdict.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Campaign(args) => run::campaign(args),
        Command::Run(args) => {
            let (options, is_kept) = args.options()?;
            run::run(&options, is_kept)
        }
        Command::Worker(args) => run::worker(args.into()),
    }
}
