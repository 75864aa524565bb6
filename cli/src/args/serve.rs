//! `ops serve`

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{limits::LimitArgs, listen::Listen, traces::TraceArgs, transport::TransportArgs, values::duration};
use crate::errors::UsageError;

/// Runs a server on a PostgreSQL database. Any number of servers may share one database; each may die at any time.
#[derive(Args, Debug)]
#[command(after_help = "\
On SIGTERM, SIGHUP or Ctrl-C it stops in order: workers are sent to other servers, streams end, open writes finish; a second \
SIGTERM or Ctrl-C exits at once. Under nohup it ignores SIGHUP.")]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) listen: Listen,
    /// The database, as postgres://USER:PASSWORD@HOST:PORT/NAME
    #[arg(long, env = "OPS_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) database_url: String,
    /// The file that the URL was read from.
    #[arg(skip)]
    pub(crate) database_url_file: Option<PathBuf>,
    /// Do not apply migrations at start; the schema must be there (`ops migrate`)
    #[arg(long, env = "OPS_NO_MIGRATE", value_parser = clap::builder::BoolishValueParser::new())]
    pub(crate) no_migrate: bool,
    /// How long a start waits for another program that migrates, and for each lock that a migration needs
    #[arg(long, env = "OPS_MIGRATE_TIMEOUT", value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub(crate) migrate_timeout: Duration,
    /// How long a grant lives without a heartbeat from its worker
    #[arg(long, env = "OPS_LEASE_TIMEOUT", value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) lease_timeout: Duration,
    /// How long a worker may take to accept a run before it is given to another
    #[arg(long, env = "OPS_ACCEPT_TIMEOUT", value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub(crate) accept_timeout: Duration,
    /// How many log events a worker may send ahead of their acknowledgement
    #[arg(long, env = "OPS_EVENT_CREDITS", value_name = "COUNT", default_value_t = server::EngineSettings::default().event_credits)]
    pub(crate) event_credits: u32,
    /// How many bytes of results and log events of all workers may wait to be written; beyond it, streams end as
    /// overload, and their workers send again what has no answer. As many bytes of runs may wait to be accepted
    #[arg(long, env = "OPS_STREAM_BYTES", value_name = "BYTES", default_value_t = server::EngineSettings::default().stream_bytes)]
    pub(crate) stream_bytes: u32,
    /// Most connections to the database
    #[arg(long, env = "OPS_DATABASE_CONNECTIONS", value_name = "COUNT", default_value_t = 20)]
    pub(crate) database_connections: u32,
    /// How long a unit of database work may take before its connection is dropped
    #[arg(long, env = "OPS_DATABASE_DEADLINE", value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub(crate) database_deadline: Duration,
    /// How long a shutdown may take
    #[arg(long, env = "OPS_SHUTDOWN_TIMEOUT", value_name = "DURATION", default_value = "20s", value_parser = duration)]
    pub(crate) shutdown_timeout: Duration,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    #[command(flatten)]
    pub(crate) transport: TransportArgs,
    #[command(flatten)]
    pub(crate) traces: TraceArgs,
}

impl ServeArgs {
    /// The checked configuration.
    pub(crate) fn config(&self) -> Result<server::Config, UsageError> {
        let config = server::Config {
            database: server::DatabaseConfig {
                max_connections: self.database_connections,
                deadline: self.database_deadline,
            },
            engine: server::EngineSettings {
                lease_timeout: self.lease_timeout,
                accept_timeout: self.accept_timeout,
                event_credits: self.event_credits,
                stream_bytes: self.stream_bytes,
            },
            limits: self.limits.limits(),
            transport: self.transport.transport(),
            database_url_file: self.database_url_file.clone(),
            migrate: !self.no_migrate,
            migrate_timeout: self.migrate_timeout,
            shutdown_timeout: self.shutdown_timeout,
            ..server::Config::new(&self.database_url)
        };
        server::check(&config).map_err(usage_error)?;
        Ok(config)
    }
}

/// The server's violations as a usage error. Each names a flag in place of the server's setting.
pub(super) fn usage_error(violations: Vec<String>) -> UsageError {
    UsageError::settings(violations.iter().map(|violation| {
        let (name, wrong) = violation.split_once(": ").unwrap_or((violation, ""));
        (flag(name), wrong.to_owned())
    }))
}

fn flag(setting: &str) -> String {
    let flag = match setting {
        "database_url" => "database-url",
        "database.max_connections" => "database-connections",
        "database.deadline" => "database-deadline",
        "engine.lease_timeout" => "lease-timeout",
        "engine.accept_timeout" => "accept-timeout",
        "engine.event_credits" => "event-credits",
        "engine.stream_bytes" => "stream-bytes",
        "limits.message" => "max-message-bytes",
        "limits.request_bytes" => "max-request-bytes",
        "limits.calls" => "max-calls",
        "limits.params" => "max-params-bytes",
        "limits.result" => "max-result-bytes",
        "limits.artifact_text" => "max-artifact-bytes",
        "limits.event" => "max-event-bytes",
        "limits.enqueue_runs" => "max-enqueue-runs",
        // The others have the same name.
        other => return other.trim_start_matches("transport.").replace('_', "-"),
    };
    flag.to_owned()
}
