//! The command line.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Args, Parser, Subcommand};
use faults::lab::{Fault, Options};
use faults::workload::work;

/// Injects faults into real servers, workers and a real database, and proves that every promise was kept.
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
    /// Inject the faults of a seed into real processes under load, and check the history
    Run(RunArgs),
    /// Run as a worker of such a run
    #[command(hide = true)]
    Worker(WorkerArgs),
    /// Check the history of a run again
    Check {
        /// The folder of the run
        folder: PathBuf,
    },
    /// Run many seeds, some at once, and summarize
    Campaign(CampaignArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CampaignArgs {
    /// The number of seeds
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    pub(crate) seeds: usize,
    /// The number of seeds at a time
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) parallel: usize,
    /// The first of consecutive seeds [default: random seeds]
    #[arg(long, value_name = "SEED")]
    pub(crate) first_seed: Option<u64>,
    /// How long each run injects faults
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) seconds: u64,
    /// Where runs write; runs that were not good stay there [default: a new folder for temporary files]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) keep_failed: Option<PathBuf>,
    /// More arguments of each run, after `--`
    #[arg(last = true, value_name = "ARGUMENT")]
    pub(crate) arguments: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The source of all random choices: the same seed makes the same plan
    #[arg(long, value_name = "NUMBER")]
    seed: u64,
    /// How long faults are injected; then all faults end, and all runs have to end
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    seconds: u64,
    /// Where the run writes; a new or empty folder [default: a new folder for temporary files, kept if a promise was
    /// broken]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// The program under test [default: `ops` beside this program]
    #[arg(long, value_name = "PATH")]
    ops: Option<PathBuf>,
    /// Only these faults [default: all]
    #[arg(long, value_name = "FAULT,..", value_enum, value_delimiter = ',')]
    only: Vec<Fault>,
}

impl RunArgs {
    /// The options, and whether to keep the folder of a good run.
    pub(crate) fn options(self) -> Result<(Options, bool)> {
        let is_kept = self.folder.is_some();
        let folder = match self.folder {
            Some(folder) => {
                let is_used = folder.read_dir().is_ok_and(|mut entries| entries.next().is_some());
                ensure!(!is_used, "{} is not empty", folder.display());
                folder
            }
            None => tempfile::Builder::new().prefix(&format!("faults-{}-", self.seed)).tempdir()?.keep(),
        };
        let program = program(self.ops)?;
        let options = Options { seed: self.seed, seconds: self.seconds, folder, program, only: self.only };
        Ok((options, is_kept))
    }
}

/// The program under test.
fn program(named: Option<PathBuf>) -> Result<PathBuf> {
    Ok(match named {
        Some(program) => program,
        None => std::env::current_exe()?.with_file_name("ops"),
    })
}

#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    #[arg(long)]
    folder: PathBuf,
    #[arg(long)]
    actor: String,
    #[arg(long, required = true)]
    server: Vec<String>,
    #[arg(long, default_value_t = 8)]
    slots: usize,
}

impl From<WorkerArgs> for work::Options {
    fn from(args: WorkerArgs) -> Self {
        let WorkerArgs { folder, actor, server, slots } = args;
        Self { folder, actor, servers: server, slots }
    }
}
