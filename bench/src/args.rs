//! The command line.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Parser;

use crate::scenarios::{SCENARIOS, Scenario};

/// Measures a real server with real workers on this machine.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
pub struct Args {
    /// What to measure; all that is short, if nothing is named
    #[arg(value_name = "SCENARIO")]
    pub names: Vec<String>,

    /// Measure also what takes minutes
    #[arg(long, conflicts_with = "names")]
    pub long: bool,

    /// How often each scenario is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: u32,

    /// The program to measure; the one beside this, if not said
    #[arg(long, value_name = "FILE")]
    pub ops: Option<PathBuf>,

    /// Where the database writes; a file system in memory would make commits free
    #[arg(long, value_name = "FOLDER", default_value = "/var/tmp")]
    pub disk: PathBuf,

    /// Where to write the figures for machines
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Keep what the servers said in this folder
    #[arg(long, value_name = "FOLDER")]
    pub logs: Option<PathBuf>,
}

impl Args {
    /// What is to be measured, in the order of the report.
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
}
