//! The configuration of a server: one struct for each concern, checked before anything binds.

use std::path::PathBuf;
use std::time::Duration;

use crate::transport::TransportConfig;
use engine::EngineSettings;
use engine::domain::Limits;

/// The whole configuration of a server.
#[derive(Debug, Clone)]
pub struct Config {
    /// `postgres://USER:PASSWORD@HOST:PORT/NAME`. The role must be able to become `ops_engine` and, to migrate, `ops_owner`.
    /// With several servers, as `HOST1:PORT1,HOST2:PORT2`, the one that accepts writes is used.
    pub database_url: String,
    /// A file that holds the URL. It is read again when the database refuses the login.
    pub database_url_file: Option<PathBuf>,
    pub database: DatabaseConfig,
    pub engine: EngineSettings,
    /// Bounds of what callers may send.
    pub limits: Limits,
    /// Bounds of connections.
    pub transport: TransportConfig,
    /// Whether migrations are applied at the start. If not, the schema must be there.
    pub migrate: bool,
    /// How long a start waits for another program that migrates, and for each lock that a migration needs.
    pub migrate_timeout: Duration,
    /// How long a shutdown may take.
    pub shutdown_timeout: Duration,
}

/// How the server uses its database.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// The most connections.
    pub max_connections: u32,
    /// How long a unit of database work may take. Then its connection is closed.
    pub deadline: Duration,
}

impl Config {
    /// The default configuration, over this database.
    pub fn new(database_url: impl Into<String>) -> Self {
        Self {
            database_url: database_url.into(),
            database_url_file: None,
            database: DatabaseConfig::default(),
            engine: EngineSettings::default(),
            limits: Limits::default(),
            transport: TransportConfig::default(),
            migrate: true,
            migrate_timeout: Duration::from_secs(5 * 60),
            shutdown_timeout: Duration::from_secs(20),
        }
    }

    /// The error lists all that is wrong, each with the name of its setting.
    pub fn check(&self) -> Result<(), Vec<String>> {
        let mut wrong = Vec::new();
        if self.database.max_connections < 8 {
            let got = self.database.max_connections;
            wrong.push(format!("database.max_connections: expected 8 or more, got {got}"));
        }
        for (name, value) in [
            ("database.deadline", self.database.deadline),
            ("engine.lease_timeout", self.engine.lease_timeout),
            ("engine.accept_timeout", self.engine.accept_timeout),
            ("migrate_timeout", self.migrate_timeout),
        ] {
            if value < Duration::from_millis(500) {
                wrong.push(format!("{name}: expected 500 ms or more, got {value:?}"));
            }
        }
        let limits = &self.limits;
        for (name, value) in [
            ("engine.event_credits", self.engine.event_credits as usize),
            ("engine.stream_bytes", self.engine.stream_bytes as usize),
            ("limits.message", limits.message_in.min(limits.message_out)),
            ("limits.calls", limits.calls),
            ("limits.params", limits.params),
            ("limits.result", limits.result),
            ("limits.artifact_text", limits.artifact_text),
            ("limits.event", limits.event),
            ("limits.enqueue_runs", limits.enqueue_runs),
        ] {
            if value == 0 {
                wrong.push(format!("{name}: expected 1 or more, got 0"));
            }
        }
        self.transport.check(&mut wrong);
        if (limits.request_bytes as usize) < limits.message_in {
            let (got, message) = (limits.request_bytes, limits.message_in);
            wrong.push(format!("limits.request_bytes: expected room for one message of {message} bytes, got {got}"));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self { max_connections: 20, deadline: Duration::from_secs(10) }
    }
}
