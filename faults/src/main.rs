//! The program `faults`. The command line is in [`args`]; what it asks for is done by the library.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

mod args;
mod run;

use args::{CampaignArgs, Cli, Command};
use faults::campaign;

fn main() -> ExitCode {
    execute(Cli::parse()).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}

/// 0 when all promises were kept, 1 when one was broken, 2 when that could not be found out.
fn execute(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Check { folder } => {
            let verdict = faults::checker::check(&folder)?;
            print!("{verdict}");
            Ok(if verdict.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Campaign(args) => run_campaign(args),
        Command::Run(args) => {
            let (options, is_kept) = args.options()?;
            run::run(&options, is_kept)
        }
        Command::Worker(args) => run::worker(args.into()),
    }
}

fn run_campaign(args: CampaignArgs) -> Result<ExitCode> {
    let CampaignArgs { seeds, parallel, first_seed, seconds, keep_failed, arguments } = args;
    let folder = match keep_failed {
        Some(folder) => folder,
        None => tempfile::Builder::new().prefix("faults-").tempdir()?.keep(),
    };
    let seeds = campaign::seeds(seeds, first_seed);
    let program = std::env::current_exe()?;
    let options = campaign::Options { program, arguments, seeds, parallel, seconds, folder };
    let summary = campaign::run(&options, |end| println!("{end}"))?;
    print!("{summary}");
    Ok(match (summary.is_good(), summary.is_broken()) {
        (true, _) => ExitCode::SUCCESS,
        (false, true) => ExitCode::FAILURE,
        (false, false) => ExitCode::from(2),
    })
}
