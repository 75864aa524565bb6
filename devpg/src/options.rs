//! The options of a cluster.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// The options of [`Cluster::start`](crate::Cluster::start).
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    pub(crate) place: Place,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) port: Option<u16>,
    pub(crate) start_deadline: Duration,
    pub(crate) primary: Option<Primary>,
}

/// The server that a standby follows.
#[derive(Debug, Clone)]
pub(crate) struct Primary {
    pub(crate) socket_dir: PathBuf,
    pub(crate) port: u16,
}

#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// A durable folder. The server outlives a killed owner, and the next owner adopts it.
    Folder(PathBuf),
    /// A new private folder, below this one or in the best place. Server and folder are removed when the owner ends in
    /// any way.
    Temporary(Option<PathBuf>),
}

impl ClusterOptions {
    /// A durable cluster in `data_dir`, for `ops dev`: fsync on, 100 connections, 256 MB of shared buffers.
    ///
    /// If this process is root, the files are below `/var/lib/ops` instead, see [`home_of`](crate::home_of).
    pub fn in_folder(data_dir: impl AsRef<Path>) -> Self {
        let settings = [
            ("fsync", "on"),
            ("synchronous_commit", "on"),
            ("shared_buffers", "256MB"),
            ("max_connections", "100"),
            // A forgotten psql session must not keep dead rows alive.
            ("idle_in_transaction_session_timeout", "10min"),
            ("password_encryption", "scram-sha-256"),
        ];
        Self::new(Place::Folder(data_dir.as_ref().to_owned()), &settings)
    }

    /// A temporary cluster for tests: no fsync, 400 connections, no autovacuum (a test must not depend on its timing).
    /// Server and folder are removed when this process ends, even by SIGKILL.
    ///
    /// A killed server still loses no commit, since `synchronous_commit` is on; only a crash of the machine would.
    pub fn temporary() -> Self {
        let settings = [
            ("fsync", "off"),
            ("full_page_writes", "off"),
            ("synchronous_commit", "on"),
            ("shared_buffers", "64MB"),
            ("max_connections", "400"),
            ("autovacuum", "off"),
            ("jit", "off"),
            ("wal_init_zero", "off"),
            ("wal_recycle", "off"),
            ("min_wal_size", "32MB"),
            ("log_checkpoints", "off"),
            ("password_encryption", "scram-sha-256"),
            // In the data folder, because a killed server would leave files in /dev/shm.
            ("dynamic_shared_memory_type", "mmap"),
        ];
        Self::new(Place::Temporary(None), &settings)
    }

    /// The same, in a new folder below this one, which the server's user must be able to enter.
    pub fn temporary_in(parent: impl AsRef<Path>) -> Self {
        Self { place: Place::Temporary(Some(parent.as_ref().to_owned())), ..Self::temporary() }
    }

    fn new(place: Place, settings: &[(&str, &str)]) -> Self {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self {
            place,
            settings,
            environment: Vec::new(),
            port: None,
            start_deadline: Duration::from_secs(60),
            primary: None,
        }
    }

    /// A standby of the server with this socket: a copy of its files that follows it by streaming replication.
    #[must_use]
    pub fn standby_of(mut self, socket_dir: &Path, port: u16) -> Self {
        self.primary = Some(Primary { socket_dir: socket_dir.to_owned(), port });
        self
    }

    /// Adds one setting of postgresql.conf; a later one wins over an earlier one. This crate chooses the port, the
    /// addresses and the socket.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Adds many settings, as [`setting`](Self::setting) does.
    #[must_use]
    pub fn settings(mut self, settings: Vec<(String, String)>) -> Self {
        self.settings.extend(settings);
        self
    }

    /// Adds a variable to the environment of the server.
    #[must_use]
    pub(crate) fn environment(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// The preferred loopback port. Without it, or if it is taken: the port of the last start, or any free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// The time limit until the server accepts connections, including recovery after a crash. Default: 60 s.
    #[must_use]
    pub fn start_deadline(mut self, deadline: Duration) -> Self {
        self.start_deadline = deadline;
        self
    }
}
