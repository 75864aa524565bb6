//! The server of a cluster: it starts on the cluster's files, and stops.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::account::Account;
use crate::endpoint::{Endpoint, is_free};
use crate::error::DevpgError;
use crate::home::Home;
use crate::init::{program, tail};
use crate::postmaster::Postmaster;
use crate::programs::Programs;
use crate::session::{Readiness, probe};
use crate::{leftovers, spawn, url};

/// The time between two probes of a server that is not ready yet.
const PROBE_INTERVAL: Duration = Duration::from_millis(20);
/// The number of ports to try, if other programs take the chosen port just before the server does.
const PORTS: u32 = 5;
/// What the server logs when its port is taken.
const PORT_TAKEN: &str = "could not create any TCP/IP sockets";
/// What the server logs while sessions of a killed server still run. We may not be able to see and end them.
const STILL_USED: &str = "pre-existing shared memory block";
/// The time limit for such sessions. A session notices the end of its postmaster when its statement ends.
const LAST_SESSIONS: Duration = Duration::from_secs(10);
/// A start moves a log of more than this size aside and begins a new one.
const LONG_LOG: u64 = 16 << 20;

/// A server's parameters, and its postmaster while it runs.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) programs: Programs,
    pub(crate) account: Account,
    pub(crate) home: Home,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) start_deadline: Duration,
    pub(crate) endpoint: Endpoint,
    /// A temporary server ends with its owner.
    pub(crate) is_temporary: bool,
    pub(crate) postmaster: Mutex<Option<Arc<Postmaster>>>,
}

impl Server {
    /// Starts the server on the chosen port, or on another one if a program takes that first.
    pub(crate) async fn launch_on_a_free_port(&mut self) -> Result<(), DevpgError> {
        for _ in 1..PORTS {
            match self.launch().await {
                Err(DevpgError::PortTaken { port }) => {
                    tracing::info!(port, "the port was taken meanwhile, choosing another");
                    self.endpoint = Endpoint::choose(&self.home, &self.account, None)?;
                }
                result => return result,
            }
        }
        self.launch().await
    }

    /// Starts the server on its port, and returns when it accepts connections.
    pub(crate) async fn launch(&self) -> Result<(), DevpgError> {
        let end = Instant::now() + LAST_SESSIONS;
        loop {
            match self.launch_once().await {
                Err(DevpgError::Start { tail, .. }) if tail.contains(STILL_USED) && Instant::now() < end => {
                    tokio::time::sleep(LAST_SESSIONS / 20).await;
                }
                result => return result,
            }
        }
    }

    async fn launch_once(&self) -> Result<(), DevpgError> {
        leftovers::clear(&self.home).await?;
        self.endpoint.open_socket_dir(&self.account)?;
        let (log, log_start) = open_log(&self.home)?;
        let mut command = program(&self.programs, "postgres", &self.account, self.home.path());
        command.arg("-D").arg(self.home.pgdata());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.args(["-c", "timezone=UTC", "-c", "log_timezone=UTC"]);
        for (name, value) in &self.settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let socket_dir = self.endpoint.socket_dir.to_string_lossy().replace('"', "\"\"");
        command.args(["-c", "listen_addresses=127.0.0.1"]);
        command.arg("-c").arg(format!("port={}", self.endpoint.port));
        // The value is a list, so the path is quoted: it may contain a blank or a comma.
        command.arg("-c").arg(format!("unix_socket_directories=\"{socket_dir}\""));
        command.stderr(log.try_clone().map_err(DevpgError::io("open", self.home.log()))?).stdout(log);

        // SIGQUIT is PostgreSQL's immediate shutdown: it leaves no process and no shared memory behind.
        let on_owner_death = self.is_temporary.then_some(Signal::SIGQUIT);
        let child = spawn::spawn(command, on_owner_death).await.map_err(|source| DevpgError::Spawn {
            program: self.programs.path("postgres"),
            account: self.account.name(),
            source,
        })?;
        tracing::debug!(pid = %child.pid, port = self.endpoint.port, "PostgreSQL started");
        self.set_postmaster(Some(Postmaster::started(child, self.home.pgdata())));
        match self.ready().await {
            Ok(()) => Ok(()),
            Err(reason) => {
                self.stop().await?;
                let log = self.home.log();
                let said = read_from(&log, log_start);
                if said.contains(PORT_TAKEN) {
                    return Err(DevpgError::PortTaken { port: self.endpoint.port });
                }
                Err(DevpgError::Start { reason, log, tail: tail(&said) })
            }
        }
    }

    async fn ready(&self) -> Result<(), String> {
        let url = url::socket_url("postgres", &self.endpoint.socket_dir, self.endpoint.port);
        let asking = async {
            while let Some(postmaster) = self.running() {
                match probe(&url).await {
                    Readiness::Ready(_) => return Ok(()),
                    Readiness::Refused(error) => return Err(format!("it refuses the superuser: {error}")),
                    Readiness::NotYet => {}
                }
                // Waits for the next probe, or for the end of the server.
                let _ = tokio::time::timeout(PROBE_INTERVAL, postmaster.gone()).await;
            }
            Err("it ended while starting".to_owned())
        };
        let late = |_| Err(format!("it accepts no connections after {:?}", self.start_deadline));
        tokio::time::timeout(self.start_deadline, asking).await.unwrap_or_else(late)
    }

    /// Waits until the port of a server that has just ended is free.
    pub(crate) async fn port_is_free(&self) -> Result<(), DevpgError> {
        let end = Instant::now() + Duration::from_secs(5);
        while !is_free(self.endpoint.port) {
            if Instant::now() >= end {
                return Err(DevpgError::PortTaken { port: self.endpoint.port });
            }
            tokio::time::sleep(PROBE_INTERVAL).await;
        }
        Ok(())
    }

    /// Shuts the server down, if it runs.
    pub(crate) async fn stop(&self) -> Result<(), DevpgError> {
        // The postmaster is forgotten last: if this future is dropped midway, the cluster's `Drop` still ends the
        // server.
        if let Some(postmaster) = self.running() {
            postmaster.stop().await?;
            tracing::info!(pid = postmaster.pid().as_raw(), home = %self.home.path().display(), "PostgreSQL stopped");
        }
        self.set_postmaster(None);
        Ok(())
    }

    /// The postmaster, if it has not ended.
    pub(crate) fn running(&self) -> Option<Arc<Postmaster>> {
        let known = self.postmaster.lock().unwrap_or_else(PoisonError::into_inner).clone();
        known.filter(|postmaster| !postmaster.is_gone())
    }

    pub(crate) fn set_postmaster(&self, postmaster: Option<Postmaster>) {
        *self.postmaster.lock().unwrap_or_else(PoisonError::into_inner) = postmaster.map(Arc::new);
    }
}

fn open_log(home: &Home) -> Result<(File, u64), DevpgError> {
    let path = home.log();
    if fs::metadata(&path).is_ok_and(|log| log.len() > LONG_LOG) {
        fs::rename(&path, home.old_log()).map_err(DevpgError::io("move", &path))?;
    }
    // Only its owner may read it, because it has failed statements with their values.
    let log =
        OpenOptions::new().append(true).create(true).mode(0o600).open(&path).map_err(DevpgError::io("open", &path))?;
    let length = log.metadata().map_err(DevpgError::io("read", &path))?.len();
    Ok((log, length))
}

fn read_from(path: &Path, start: u64) -> String {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::Start(start))?;
        file.read_to_end(&mut text)
    });
    read.map(|_| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
}
