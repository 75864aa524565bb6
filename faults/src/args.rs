//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

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
}
