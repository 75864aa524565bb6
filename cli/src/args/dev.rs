//! `ops dev`

use std::{num::NonZeroUsize, path::PathBuf};

use clap::Args;
use handlers::{HttpConfig, Network};
use worker::{Worker, WorkerConfig};

use super::{listen::Listen, target::ServerAddress, traces::TraceArgs};
use crate::errors::UsageError;

/// Everything in one process, for development: a PostgreSQL of its own, the server, and a worker for `http`, `shell` and `sleep`.
#[derive(Args, Debug)]
#[command(after_help = "\
On SIGTERM, SIGHUP or Ctrl-C the worker ends what it holds, then the server stops, then the database; a second SIGTERM or \
Ctrl-C exits at once. The data stays and is found again by the next start.")]
pub(crate) struct DevArgs {
    #[command(flatten)]
    pub(crate) listen: Listen,
    /// Folder for the database
    #[arg(long, env = "OPS_DATA_DIR", value_name = "FOLDER", default_value = ".ops")]
    pub(crate) data_dir: PathBuf,
    /// Folder of PostgreSQL's programs (initdb, postgres, pg_ctl) [default: looked for]
    #[arg(long, env = "OPS_PG_BIN", value_name = "FOLDER")]
    pub(crate) pg_bin: Option<PathBuf>,
    /// How many runs its worker executes at the same time
    #[arg(long, env = "OPS_WORKER_SLOTS", value_name = "N", default_value = "4")]
    pub(crate) slots: NonZeroUsize,
    /// Show what it does: enqueue real runs through the API, watch them, and measure
    #[arg(long)]
    pub(crate) demo: bool,
    /// Stop when the demonstration has ended, with its exit status
    #[arg(long, requires = "demo")]
    pub(crate) once: bool,
    #[command(flatten)]
    pub(crate) traces: TraceArgs,
}

impl DevArgs {
    /// The worker that comes with it.
    pub(crate) fn worker(&self, server: &ServerAddress) -> Result<Worker, UsageError> {
        let mut config = WorkerConfig::new(server.to_string());
        config.name = "dev".to_owned();
        config.slots = self.slots.get();
        // The services that runs call are on this machine during development.
        let mut http = HttpConfig { allow: Network::LOOPBACK.to_vec(), ..HttpConfig::default() };
        http.allow.extend(server.ip().map(Network::from));
        handlers::register(Worker::builder(config), &http).build().map_err(|error| UsageError::new(error.to_string()))
    }
}
