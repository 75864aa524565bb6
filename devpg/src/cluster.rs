//! A running private cluster, from start to stop.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::account::Account;
use crate::endpoint::Endpoint;
use crate::error::DevpgError;
use crate::home::Home;
use crate::lock::OwnerLock;
use crate::options::{ClusterOptions, Place};
use crate::postmaster::Postmaster;
use crate::programs::Programs;
use crate::temporary::TemporaryHome;
use crate::{init, launch, url};

/// A private PostgreSQL server that this process owns.
///
/// Dropped without [`stop`](Self::stop), a durable one is told to shut down and not waited for; a temporary one is
/// ended at once and its folder removed. If the process is killed, a durable one runs on for the next owner.
#[derive(Debug)]
pub struct Cluster {
    pub(crate) programs: Programs,
    pub(crate) account: Account,
    pub(crate) home: Home,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) start_deadline: Duration,
    pub(crate) endpoint: Endpoint,
    password: String,
    postmaster: Mutex<Option<Arc<Postmaster>>>,
    /// Starting and stopping take turns.
    pub(crate) lifecycle: tokio::sync::Mutex<()>,
    // In this order: the folder goes while its lock is held, so that nobody takes it for abandoned.
    temporary: Option<TemporaryHome>,
    _lock: OwnerLock,
}

impl Cluster {
    /// Starts the cluster, or adopts the running server of an owner that was killed; then its port stays as it is, and
    /// new settings wait for the next start.
    ///
    /// # Errors
    ///
    /// [`DevpgError::Owned`] when another process, or another `Cluster` of this one, owns the folder;
    /// otherwise whatever kept the server from accepting connections within the start deadline.
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
        init::ensure(programs, &account, &home, temporary.is_none()).await?;
        let password = fs::read_to_string(home.password()).map_err(DevpgError::io("read", home.password()))?;
        let adopted = launch::adopt(&home, options.start_deadline).await?;
        let endpoint = match &adopted {
            Some((_, endpoint)) => endpoint.clone(),
            None => Endpoint::choose(&home, &account, options.port)?,
        };
        let mut cluster = Self {
            programs: programs.clone(),
            account,
            home,
            settings: options.settings,
            start_deadline: options.start_deadline,
            endpoint,
            password: password.trim().to_owned(),
            postmaster: Mutex::new(adopted.map(|(postmaster, _)| Arc::new(postmaster))),
            lifecycle: tokio::sync::Mutex::new(()),
            temporary,
            _lock: lock,
        };
        if cluster.running().is_none() {
            cluster.launch_on_a_free_port().await?;
        }
        let (pid, port, home) = (cluster.postmaster_pid(), cluster.port(), cluster.home.path().display());
        tracing::info!(pid, port, %home, "PostgreSQL is ready");
        Ok(cluster)
    }

    /// A URL for the superuser over the Unix socket, where no password is needed; sqlx and libpq read it.
    pub fn url(&self, database: &str) -> String {
        url::socket_url(database, &self.endpoint.socket_dir, self.endpoint.port)
    }

    /// A URL for the superuser over loopback. It has the password in it: not for logs.
    pub fn tcp_url(&self, database: &str) -> String {
        url::tcp_url(database, &self.password, self.endpoint.port)
    }

    /// The loopback port, which also names the socket; the same after every restart unless another program took it.
    pub fn port(&self) -> u16 {
        self.endpoint.port
    }

    /// The folder of the Unix socket.
    pub fn socket_dir(&self) -> &Path {
        &self.endpoint.socket_dir
    }

    /// The cluster's home: everything of it lies here (a socket folder perhaps excepted).
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// PostgreSQL's data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.home.pgdata()
    }

    /// What the server says.
    pub fn log_path(&self) -> PathBuf {
        self.home.log()
    }

    /// The server's first process, unless it has ended.
    pub fn postmaster_pid(&self) -> Option<i32> {
        self.running().map(|postmaster| postmaster.pid().as_raw())
    }

    /// Completes when the server has ended, for whatever reason; at once when it does not run.
    pub async fn exited(&self) {
        if let Some(postmaster) = self.running() {
            postmaster.gone().await;
        }
    }

    /// Shuts down fast (sessions are ended, a checkpoint is written), at once after 30 s, by SIGKILL 10 s later, and
    /// returns when the server is gone. Stopping twice is no error.
    ///
    /// # Errors
    ///
    /// [`DevpgError::Stop`] when the server outlives even that.
    pub async fn stop(&self) -> Result<(), DevpgError> {
        let _turn = self.lifecycle.lock().await;
        self.stop_in_turn().await?;
        self.endpoint.remove_socket_dir(&self.home);
        Ok(())
    }

    /// [`stop`](Self::stop) for those who have the turn already.
    pub(crate) async fn stop_in_turn(&self) -> Result<(), DevpgError> {
        // Forgotten only afterwards: if this future is dropped midway, Drop still ends the server.
        if let Some(postmaster) = self.running() {
            postmaster.stop().await?;
            tracing::info!(pid = postmaster.pid().as_raw(), home = %self.home.path().display(), "PostgreSQL stopped");
        }
        self.set_postmaster(None);
        Ok(())
    }

    pub(crate) fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    /// The server, if it has not ended.
    pub(crate) fn running(&self) -> Option<Arc<Postmaster>> {
        let known = self.postmaster.lock().unwrap_or_else(PoisonError::into_inner).clone();
        known.filter(|postmaster| !postmaster.is_gone())
    }

    pub(crate) fn set_postmaster(&self, postmaster: Option<Postmaster>) {
        *self.postmaster.lock().unwrap_or_else(PoisonError::into_inner) = postmaster.map(Arc::new);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(postmaster) = self.running() {
            if self.is_temporary() {
                postmaster.end_now();
            } else {
                postmaster.resume();
                postmaster.signal(Signal::SIGINT);
            }
        }
        if self.is_temporary() {
            self.endpoint.remove_socket_dir(&self.home);
        }
    }
}
