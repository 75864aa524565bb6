//! A running private cluster, from start to stop.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use nix::sys::signal::Signal;

use crate::account::Account;
use crate::endpoint::Endpoint;
use crate::error::DevpgError;
use crate::home::Home;
use crate::lock::OwnerLock;
use crate::options::{ClusterOptions, Place};
use crate::programs::Programs;
use crate::server::Server;
use crate::temporary::TemporaryHome;
use crate::{init, leftovers, url};

/// A private PostgreSQL server that this process owns.
///
/// A drop without [`stop`](Self::stop) only signals a durable server to shut down; it ends a temporary server at once
/// and removes its folder. If this process is killed, a durable server keeps running for the next owner.
#[derive(Debug)]
pub struct Cluster {
    pub(crate) server: Server,
    password: String,
    /// Starting and stopping take turns.
    pub(crate) lifecycle: tokio::sync::Mutex<()>,
    // In this order: the folder is removed while its lock is held, so that nobody takes it for abandoned.
    _temporary: Option<TemporaryHome>,
    _lock: OwnerLock,
}

impl Cluster {
    /// Starts the cluster, or adopts the running server of a killed owner. An adopted server keeps its port, and gets
    /// new settings at its next start.
    ///
    /// # Errors
    ///
    /// [`DevpgError::Owned`] when another process, or another `Cluster` of this one, owns the folder; otherwise the
    /// reason why the server did not accept connections within the start deadline.
    pub async fn start(programs: &Programs, options: ClusterOptions) -> Result<Self, DevpgError> {
        let account = Account::choose()?;
        let (home, lock, temporary) = match &options.place {
            Place::Folder(folder) => {
                let home = Home::prepare(folder, &account)?;
                let lock = OwnerLock::take(home.path())?;
                (home, lock, None)
            }
            Place::Temporary(parent) => {
                let (temporary, lock) = TemporaryHome::create(&account, parent.as_deref())?;
                (temporary.home(), lock, Some(temporary))
            }
        };
        init::ensure(programs, &account, &home, temporary.is_none(), options.primary.as_ref()).await?;
        let password = fs::read_to_string(home.password()).map_err(DevpgError::io("read", home.password()))?;
        let adopted = leftovers::adopt(&home, options.start_deadline).await?;
        let endpoint = match &adopted {
            Some((_, endpoint)) => endpoint.clone(),
            None => Endpoint::choose(&home, &account, options.port)?,
        };
        let server = Server {
            programs: programs.clone(),
            account,
            home,
            settings: options.settings,
            environment: options.environment,
            start_deadline: options.start_deadline,
            endpoint,
            is_temporary: temporary.is_some(),
            postmaster: Mutex::new(adopted.map(|(postmaster, _)| Arc::new(postmaster))),
        };
        let mut cluster = Self {
            server,
            password: password.trim().to_owned(),
            lifecycle: tokio::sync::Mutex::new(()),
            _temporary: temporary,
            _lock: lock,
        };
        if cluster.server.running().is_none() {
            cluster.server.launch_on_a_free_port().await?;
        }
        let (pid, port, home) = (cluster.postmaster_pid(), cluster.port(), cluster.home().display());
        tracing::info!(pid, port, %home, "PostgreSQL is ready");
        Ok(cluster)
    }

    /// A URL for the superuser over the Unix socket, without a password; for sqlx and libpq.
    pub fn url(&self, database: &str) -> String {
        url::socket_url(database, &self.server.endpoint.socket_dir, self.server.endpoint.port)
    }

    /// A URL for the superuser over loopback. It contains the password, so keep it out of logs.
    pub fn tcp_url(&self, database: &str) -> String {
        url::tcp_url(database, &self.password, self.server.endpoint.port)
    }

    /// The loopback port, which also names the socket. It stays the same after a restart, unless another program takes
    /// it.
    pub fn port(&self) -> u16 {
        self.server.endpoint.port
    }

    /// The folder of the Unix socket.
    pub fn socket_dir(&self) -> &Path {
        &self.server.endpoint.socket_dir
    }

    /// The cluster's home, which has all its files, except sometimes the socket folder.
    pub fn home(&self) -> &Path {
        self.server.home.path()
    }

    /// PostgreSQL's data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.server.home.pgdata()
    }

    /// The server's log.
    pub fn log_path(&self) -> PathBuf {
        self.server.home.log()
    }

    /// The pid of the server's first process, unless it has ended.
    pub fn postmaster_pid(&self) -> Option<i32> {
        self.server.running().map(|postmaster| postmaster.pid().as_raw())
    }

    /// Completes when the server has ended; at once if it does not run.
    pub async fn exited(&self) {
        if let Some(postmaster) = self.server.running() {
            postmaster.gone().await;
        }
    }

    /// Stops the server, and returns when it has ended: by a fast shutdown (it ends sessions and writes a checkpoint),
    /// after 30 s by an immediate one, 10 s later by SIGKILL. Stopping twice is no error.
    ///
    /// # Errors
    ///
    /// [`DevpgError::Stop`] when the server outlives SIGKILL.
    pub async fn stop(&self) -> Result<(), DevpgError> {
        let _turn = self.lifecycle.lock().await;
        self.server.stop().await?;
        self.server.endpoint.remove_socket_dir(&self.server.home);
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(postmaster) = self.server.running() {
            if self.server.is_temporary {
                postmaster.end_now();
            } else {
                postmaster.resume();
                postmaster.signal(Signal::SIGINT);
            }
        }
        if self.server.is_temporary {
            self.server.endpoint.remove_socket_dir(&self.server.home);
        }
    }
}
