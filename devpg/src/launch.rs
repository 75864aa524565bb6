//! Brings a server up: adopts one that runs, or starts one on what the last one left.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::cluster::Cluster;
use crate::endpoint::{Endpoint, is_free};
use crate::error::DevpgError;
use crate::home::{Home, home_of};
use crate::init::{program, remove_unfinished, tail};
use crate::lock::OwnerLock;
use crate::pidfile::PidFile;
use crate::postmaster::Postmaster;
use crate::session::{Readiness, probe};
use crate::{processes, spawn, url};

/// Between two questions whether the server is ready.
const ASK: Duration = Duration::from_millis(20);
/// How often another port is tried when a program takes the chosen one in the moment before the server does.
const PORTS: u32 = 5;
/// What the server logs when its port is taken.
const PORT_TAKEN: &str = "could not create any TCP/IP sockets";
/// What the server logs while sessions of a killed one run on, which we may not be able to see and end.
const STILL_USED: &str = "pre-existing shared memory block";
/// A session notices the end of its postmaster when its statement ends.
const LAST_SESSIONS: Duration = Duration::from_secs(10);
/// Past this size the log is begun anew at a start, and the old one kept beside it.
const LONG_LOG: u64 = 16 << 20;

/// Removes the cluster of `data_dir` with all its data, and what is left of its server. Other files in the folder stay,
/// and the folder with them.
///
/// # Errors
///
/// [`DevpgError::Owned`] while a process owns it.
pub async fn remove(data_dir: &Path) -> Result<(), DevpgError> {
    let home = Home::at(home_of(data_dir)?);
    if !home.lock().exists() {
        return Ok(());
    }
    let _lock = OwnerLock::take(home.path())?;
    if let Some(pid) = server_pid(&home) {
        Postmaster::adopted(pid, home.pgdata()).stop().await?;
    }
    if let Some(endpoint) = Endpoint::recorded(&home) {
        endpoint.remove_socket_dir(&home);
    }
    remove_unfinished(&home)?;
    home.remove(data_dir)
}

/// Finds a server of this home that outlived its owner, waits until it is ready, and returns it. One that does not get
/// ready within the deadline is stopped, so that a new one can take its place.
pub(crate) async fn adopt(home: &Home, deadline: Duration) -> Result<Option<(Postmaster, Endpoint)>, DevpgError> {
    let Some(pid) = server_pid(home) else { return Ok(None) };
    let postmaster = Postmaster::adopted(pid, home.pgdata());
    // Its owner may have been killed while it was paused.
    postmaster.resume();
    let end = Instant::now() + deadline;
    while !postmaster.is_gone() && Instant::now() < end {
        // Read again each time: a server that is still starting adds its lines one by one.
        let file = PidFile::read(&home.pgdata());
        if let Some(PidFile { port: Some(port), socket_dir: Some(socket_dir), .. }) = file {
            let answer = probe(&url::socket_url("postgres", &socket_dir, port)).await;
            let ready = match answer {
                Readiness::Ready(folder) => folder == home.pgdata(),
                // Up all the same, such as one with too many sessions.
                Readiness::Refused(_) => true,
                Readiness::NotYet => false,
            };
            if ready {
                tracing::info!(%pid, port, home = %home.path().display(), "adopted a running PostgreSQL");
                return Ok(Some((postmaster, Endpoint { port, socket_dir })));
            }
        }
        tokio::time::sleep(ASK).await;
    }
    if !postmaster.is_gone() {
        tracing::warn!(%pid, home = %home.path().display(), "replacing a server of this cluster that does not answer");
        postmaster.stop().await?;
    }
    Ok(None)
}

/// The living server of this home by its pid file, if there is one.
fn server_pid(home: &Home) -> Option<nix::unistd::Pid> {
    let pid = PidFile::read(&home.pgdata())?.pid;
    processes::is_server_of(pid, &home.pgdata()).then_some(pid)
}

impl Cluster {
    /// Starts the server on the chosen port, or on another one if a program was faster.
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

    /// Starts the server on exactly its port, and returns when it accepts connections.
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
        clear_leftovers(&self.home).await?;
        self.endpoint.open_socket_dir(&self.account)?;
        let (log, log_start) = open_log(&self.home)?;
        let mut command = program(&self.programs, "postgres", &self.account, self.home.path());
        command.arg("-D").arg(self.home.pgdata());
        command.args(["-c", "timezone=UTC", "-c", "log_timezone=UTC"]);
        for (name, value) in &self.settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let socket_dir = self.endpoint.socket_dir.to_string_lossy().replace('"', "\"\"");
        command.args(["-c", "listen_addresses=127.0.0.1"]);
        command.arg("-c").arg(format!("port={}", self.endpoint.port));
        // A list by its syntax: the quotes keep a blank or a comma in the path.
        command.arg("-c").arg(format!("unix_socket_directories=\"{socket_dir}\""));
        command.stderr(log.try_clone().map_err(DevpgError::io("open", self.home.log()))?).stdout(log);

        // SIGQUIT is PostgreSQL's immediate shutdown: it leaves no process and no shared memory behind.
        let on_owner_death = self.is_temporary().then_some(Signal::SIGQUIT);
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
                self.stop_in_turn().await?;
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
        let url = self.url("postgres");
        let asking = async {
            while let Some(postmaster) = self.running() {
                match probe(&url).await {
                    Readiness::Ready(_) => return Ok(()),
                    Readiness::Refused(error) => return Err(format!("it refuses the superuser: {error}")),
                    Readiness::NotYet => {}
                }
                // Whichever comes first: the next question, or the end of the server.
                let _ = tokio::time::timeout(ASK, postmaster.gone()).await;
            }
            Err("it ended while starting".to_owned())
        };
        let late = |_| Err(format!("it accepts no connections after {:?}", self.start_deadline));
        tokio::time::timeout(self.start_deadline, asking).await.unwrap_or_else(late)
    }

    /// Waits until the port of a server that just ended can be bound again.
    pub(crate) async fn port_is_free(&self) -> Result<(), DevpgError> {
        let end = Instant::now() + Duration::from_secs(5);
        while !is_free(self.endpoint.port) {
            if Instant::now() >= end {
                return Err(DevpgError::PortTaken { port: self.endpoint.port });
            }
            tokio::time::sleep(ASK).await;
        }
        Ok(())
    }
}

/// Ends what is left of a server whose postmaster was killed, and removes its pid file: PostgreSQL does not start while
/// the pid in it is that of any living program of the same user.
async fn clear_leftovers(home: &Home) -> Result<(), DevpgError> {
    let pgdata = home.pgdata();
    for pid in processes::servers_of(&pgdata) {
        tracing::warn!(%pid, home = %home.path().display(), "ending a process of a server that is gone");
        Postmaster::adopted(pid, pgdata.clone()).kill().await?;
    }
    let path = PidFile::path(&pgdata);
    if PidFile::read(&pgdata).is_some_and(|file| processes::is_running(file.pid)) {
        fs::remove_file(&path).map_err(DevpgError::io("remove", &path))?;
    }
    Ok(())
}

fn open_log(home: &Home) -> Result<(File, u64), DevpgError> {
    let path = home.log();
    if fs::metadata(&path).is_ok_and(|log| log.len() > LONG_LOG) {
        fs::rename(&path, home.old_log()).map_err(DevpgError::io("move", &path))?;
    }
    // Statements that fail are in it, with their values.
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
