//! `ops worker`, which runs a worker, and the verbs `list`, `drain` and `undrain`.

use std::{fs, num::NonZeroUsize, path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use handlers::{HttpConfig, Network, Shell, shell::EnvName};
use proto::v1;
use worker::{Worker, WorkerConfig, WorkerError};

use super::{
    listen::ListenAddress,
    target::{Output, ServerAddress, Target},
    traces::TraceArgs,
    values::{Label, Lane, duration, port_or_address},
};
use crate::errors::UsageError;

/// Runs a worker: it executes runs of the kinds `http`, `shell` and `sleep` until a signal or a drain stops it.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
On SIGTERM, SIGHUP or Ctrl-C it takes no more runs, ends the runs it holds, disconnects and exits; a second SIGTERM or Ctrl-C \
exits at once. Under nohup it ignores SIGHUP.")]
pub(crate) struct WorkerArgs {
    #[command(flatten)]
    pub(crate) run: WorkerRun,
    #[command(subcommand)]
    pub(crate) verb: Option<WorkerVerb>,
}

#[derive(Args, Debug)]
pub(crate) struct WorkerRun {
    /// Addresses of servers; the worker goes to the next one when it loses its server
    #[arg(
        long,
        env = "OPS_SERVER",
        value_delimiter = ',',
        value_name = "URL,..",
        default_value = "http://127.0.0.1:7070"
    )]
    pub(crate) server: Vec<ServerAddress>,
    /// Lanes to serve
    #[arg(
        long,
        env = "OPS_WORKER_LANES",
        value_enum,
        ignore_case = true,
        value_delimiter = ',',
        value_name = "LANE,..",
        default_value = "A,B,C,D"
    )]
    pub(crate) lanes: Vec<Lane>,
    /// Kinds to execute, of those that have a handler here [default: all of them]
    #[arg(long, env = "OPS_WORKER_KINDS", value_delimiter = ',', value_name = "KIND,..")]
    pub(crate) kinds: Vec<String>,
    /// How many runs to execute at the same time
    #[arg(long, env = "OPS_WORKER_SLOTS", value_name = "N", default_value = "8")]
    pub(crate) slots: NonZeroUsize,
    /// Name of the worker [default: the host's name and the process id]
    #[arg(long, env = "OPS_WORKER_NAME")]
    pub(crate) name: Option<String>,
    /// A label of the worker, for people; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<Label>,
    /// How long its end may take after a signal; runs that continue are stopped 7 s before, and reported as failed
    #[arg(long, env = "OPS_WORKER_DRAIN_TIMEOUT", value_parser = duration, value_name = "DURATION", default_value = "25s")]
    pub(crate) drain_timeout: Duration,
    /// Variables of the worker's environment that programs of the kind `shell` get although their names begin with OPS_, OTEL_ or
    /// PG; PG* stands for all that begin so
    #[arg(long, env = "OPS_WORKER_PASS_ENV", value_delimiter = ',', value_name = "NAME,..")]
    pub(crate) pass_env: Vec<EnvName>,
    /// Addresses that runs of the kind `http` may call besides those of the public internet, such as 10.1.0.0/16 or
    /// 127.0.0.1
    #[arg(long, env = "OPS_WORKER_HTTP_ALLOW", value_delimiter = ',', value_name = "CIDR,..")]
    pub(crate) http_allow: Vec<Network>,
    /// Certificates of authorities, as PEM, that runs of the kind `http` trust, besides those that browsers trust
    #[arg(long, env = "OPS_WORKER_HTTP_CA", value_name = "FILE")]
    pub(crate) http_ca: Option<PathBuf>,
    /// Port, or address and port, of /health and /metrics; a port alone is on loopback [default: none]
    #[arg(long, env = "OPS_WORKER_HTTP_LISTEN", value_name = "ADDRESS", value_parser = port_or_address)]
    pub(crate) http_listen: Option<ListenAddress>,
    #[command(flatten)]
    pub(crate) traces: TraceArgs,
}

impl WorkerRun {
    /// The configured worker with the built-in handlers.
    pub(crate) fn worker(&self) -> Result<Worker, UsageError> {
        let mut config = WorkerConfig::new("");
        config.servers = self.server.iter().map(ToString::to_string).collect();
        config.lanes = self.lanes.iter().copied().map(worker::Lane::from).collect();
        config.kinds = (!self.kinds.is_empty()).then(|| self.kinds.clone());
        config.slots = self.slots.get();
        config.labels = self.labels.iter().map(|label| (label.key.clone(), label.value.clone())).collect();
        config.drain_timeout = self.drain_timeout;
        let mut http = HttpConfig { allow: self.http_allow.clone(), ..HttpConfig::default() };
        if let Some(path) = &self.http_ca {
            let read = fs::read(path).map_err(|error| {
                UsageError::settings([("http-ca".to_owned(), format!("{}: {error}", path.display()))])
            })?;
            http.ca_certificates_pem = Some(read);
        }
        if let Some(name) = &self.name {
            config.name.clone_from(name);
        }
        let builder = handlers::register(Worker::builder(config), &http);
        let shell = Shell::passing(self.pass_env.clone());
        builder.handler(handlers::shell::KIND, shell).build().map_err(usage_error)
    }
}

/// The violations of a worker's configuration, each with its flag in place of the name in the library.
fn usage_error(error: WorkerError) -> UsageError {
    let WorkerError::Config(violations) = error else { return UsageError::new(error.to_string()) };
    UsageError::settings(violations.iter().map(|violation| {
        let (name, wrong) = violation.split_once(": ").unwrap_or((violation, ""));
        let flag = match name.split(['[', '.']).next().unwrap_or(name) {
            "servers" => "server".to_owned(),
            "labels" => "label".to_owned(),
            other => other.replace('_', "-"),
        };
        (flag, wrong.to_owned())
    }))
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkerVerb {
    /// List workers, the newest first
    List {
        /// Only these states [default: all but gone]
        #[arg(long, value_enum, value_delimiter = ',', value_name = "STATE,..")]
        state: Vec<WorkerState>,
        /// How many at the most
        #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        output: Output,
    },
    /// Ask a worker to take no more runs, end the runs it holds, however long they take, and exit
    Drain {
        /// The worker's id
        worker_id: String,
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        output: Output,
    },
    /// Let a drained worker of unary calls take runs again
    Undrain {
        /// The worker's id
        worker_id: String,
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        output: Output,
    },
}

/// The state of a worker.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum WorkerState {
    Active,
    Draining,
    Disconnected,
    Lost,
    Gone,
}

impl From<WorkerState> for v1::WorkerState {
    fn from(state: WorkerState) -> Self {
        match state {
            WorkerState::Active => Self::Active,
            WorkerState::Draining => Self::Draining,
            WorkerState::Disconnected => Self::Disconnected,
            WorkerState::Lost => Self::Lost,
            WorkerState::Gone => Self::Gone,
        }
    }
}
