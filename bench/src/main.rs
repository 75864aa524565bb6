//! The program `bench`: it puts load on real `ops serve` processes over loopback, and measures them.
//!
//! A scenario measures a few figures in each run. The report has the median of all runs and their range. Each scenario checks its work
//! against the database, and fails if work was lost or done twice.
//!
//! In reading order: a `deployment` is a database with servers on it, a `caller` enqueues, a `fleet` of workers executes, `audit`
//! checks, and `scenarios` put these together. `overload` is a separate measurement, with verdicts instead of targets.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

mod figure;
mod times;

mod server;

mod deployment;
mod machine;

mod caller;
mod fleet;

mod audit;

mod overload;
mod scenarios;

mod args;
mod report;

use args::{Args, Command};

fn main() -> ExitCode {
    execute(&Args::parse()).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

#[tokio::main]
async fn execute(args: &Args) -> Result<ExitCode> {
    // This fails only if a provider is installed already, and none is.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    if let Some(Command::Overload(overload)) = &args.command {
        let report = Box::pin(overload::run(&overload.options()?)).await?;
        print!("{report}");
        return Ok(if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    measure(args).await?;
    Ok(ExitCode::SUCCESS)
}

async fn measure(args: &Args) -> Result<()> {
    let scenarios = args.scenarios()?;
    let bench = deployment::Bench::open(args.program()?, &args.disk, args.logs.as_deref()).await?;
    let mut report = report::Report::new(&bench).await?;
    // All scenarios once, then all again, so that a slow minute of the machine does not affect one scenario alone.
    for run in 1..=args.runs {
        for scenario in &scenarios {
            eprintln!("{} ({run} of {})", scenario.name, args.runs);
            report.add(scenario, (scenario.measure)(&bench).await?);
        }
    }
    println!("{report}");
    if let Some(path) = &args.json {
        std::fs::write(path, report.json()?)?;
    }
    Ok(())
}
