//! What kind of cluster is wanted.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// What [`Cluster::start`](crate::Cluster::start) shall run.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    pub(crate) place: Place,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) port: Option<u16>,
    pub(crate) start_deadline: Duration,
}

#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// Kept. The server outlives an owner that is killed, and the next owner adopts it.
    Folder(PathBuf),
    /// A fresh private folder, here or where it fits best. Server and folder go when the owner ends, in whatever way.
    Temporary(Option<PathBuf>),
}

impl ClusterOptions {
    /// A durable cluster in `data_dir`, for `ops dev`: fsync on, 100 connections, 256 MB of shared buffers.
    ///
    /// When this process is root the files lie below `/var/lib/ops` instead, see [`home_of`](crate::home_of).
    pub fn in_folder(data_dir: impl AsRef<Path>) -> Self {
        let settings = [
            ("fsync", "on"),
            ("synchronous_commit", "on"),
            ("shared_buffers", "256MB"),
            ("max_connections", "100"),
            // Somebody who looks at it with psql and goes away shall not keep dead rows alive.
            ("idle_in_transaction_session_timeout", "10min"),
            ("password_encryption", "scram-sha-256"),
        ];
        Self::new(Place::Folder(data_dir.as_ref().to_owned()), &settings)
    }

    /// A throw-away cluster for tests: no fsync, 400 connections, no autovacuum (a test must not depend on when it
    /// comes), and both server and folder gone when this process ends, even by SIGKILL.
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
            // In the data folder and not in /dev/shm, so that nothing stays there when the server is killed.
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
        Self { place, settings, port: None, start_deadline: Duration::from_secs(60) }
    }

    /// Adds one setting of postgresql.conf; a later one wins over an earlier one. The port, the addresses and the
    /// socket are decided by this crate.
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

    /// The loopback port to take when it is free. Without it: the port of the last start, or any free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// How long the server may take until it accepts connections, recovery after a crash included. Default: 60 s.
    #[must_use]
    pub fn start_deadline(mut self, deadline: Duration) -> Self {
        self.start_deadline = deadline;
        self
    }
}
