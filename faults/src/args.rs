//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Real servers, workers and a real database under faults, and the proofs that nothing promised was broken.
#[derive(Debug, Parser)]
#[command(name = "faults", version, max_term_width = 110)]
#[command(
    after_help = "It ends with 0 when all promises were kept, with 1 when one was broken, and with 2 when that could \
not be found out."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Judge what a run wrote down
    Check {
        /// The folder of the run
        folder: PathBuf,
    },
    /// Run many seeds, some at once, and tell what came of them
    Campaign(CampaignArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CampaignArgs {
    /// How many
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    pub(crate) seeds: usize,
    /// How many at a time
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) parallel: usize,
    /// Seeds one after the other from this [default: seeds that nobody chose]
    #[arg(long, value_name = "SEED")]
    pub(crate) first_seed: Option<u64>,
    /// How long faults are injected in each
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) seconds: u64,
    /// Where runs write; what was not good stays there [default: a new folder for temporary files]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) keep_failed: Option<PathBuf>,
    /// What is passed on to each run, after `--`
    #[arg(last = true, value_name = "ARGUMENT")]
    pub(crate) arguments: Vec<String>,
}
