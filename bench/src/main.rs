//! The program `bench`: load on real `ops serve` processes over loopback, and what it measured.
//!
//! A scenario measures a few figures, once a run; the report has the median of all runs, and how far they were apart.
//! Whatever a scenario did is checked against the database afterwards: a figure of work that was lost or done twice is none.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

mod args;
mod audit;
mod caller;
mod figure;
mod fleet;
mod fleet_stream;
mod house;
mod machine;
mod report;
mod scenarios;
mod server;
mod times;

fn main() -> ExitCode {
    match execute(&args::Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn execute(args: &args::Args) -> Result<()> {
    // The first provider stands; here is no other.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let scenarios = args.scenarios()?;
    let bench = house::Bench::open(args).await?;
    let mut report = report::Report::new(&bench).await?;
    // Run by run and not scenario by scenario, so that a slow minute of the machine does not fall on one of them alone.
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
