//! The command line.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};

use crate::overload;
use crate::scenarios::{SCENARIOS, Scenario};

/// Measures a real server with real workers on this machine.
#[derive(Debug, Parser)]
#[command(name = "bench", version, args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,

    /// The scenarios to measure; without a name all short ones
    #[arg(value_name = "SCENARIO")]
    pub names: Vec<String>,

    /// Also measure the scenarios that take minutes
    #[arg(long, conflicts_with = "names")]
    pub long: bool,

    /// How often each scenario is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: u32,

    /// The program to measure [default: `ops` beside this program]
    #[arg(long, value_name = "FILE")]
    ops: Option<PathBuf>,

    /// Where the database writes; a file system in memory would make commits free
    #[arg(long, value_name = "FOLDER", default_value = "/var/tmp")]
    pub disk: PathBuf,

    /// Where to write the figures as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Keep the logs of the servers in this folder
    #[arg(long, value_name = "FOLDER")]
    pub logs: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Offer a server many times its capacity, and check what it still promises
    Overload(OverloadArgs),
}

#[derive(Debug, clap::Args)]
pub struct OverloadArgs {
    /// How long the load lasts
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    seconds: u64,

    /// How many times the capacity is offered
    #[arg(long, value_name = "NUMBER", default_value_t = 10.0)]
    times: f64,

    /// The program under test [default: `ops` beside this program]
    #[arg(long, value_name = "FILE")]
    ops: Option<PathBuf>,
}

impl Args {
    /// The scenarios to measure, in the order of the report.
    pub fn scenarios(&self) -> Result<Vec<&'static Scenario>> {
        for name in &self.names {
            let known: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
            ensure!(
                known.contains(&name.as_str()),
                "there is no scenario {name}: expected one of {}",
                known.join(", ")
            );
        }
        let is_wanted = |scenario: &&Scenario| match self.names.is_empty() {
            true => !scenario.is_apart && (self.long || !scenario.is_long),
            false => self.names.iter().any(|name| name == scenario.name),
        };
        Ok(SCENARIOS.iter().filter(is_wanted).collect())
    }

    /// The program to measure.
    pub fn program(&self) -> Result<PathBuf> {
        program(self.ops.as_ref())
    }
}

impl OverloadArgs {
    pub fn options(&self) -> Result<overload::Options> {
        Ok(overload::Options { seconds: self.seconds, times: self.times, program: program(self.ops.as_ref())? })
    }
}

fn program(named: Option<&PathBuf>) -> Result<PathBuf> {
    Ok(match named {
        Some(program) => program.clone(),
        None => std::env::current_exe()?.with_file_name("ops"),
    })
}
