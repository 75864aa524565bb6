//! Leftovers of an earlier owner: a server to adopt, a cluster to remove, or processes to end before a start.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use crate::endpoint::Endpoint;
use crate::error::DevpgError;
use crate::home::{Home, home_of};
use crate::init::remove_unfinished;
use crate::lock::OwnerLock;
use crate::pidfile::PidFile;
use crate::postmaster::Postmaster;
use crate::session::{Readiness, probe};
use crate::{processes, url};

/// The time between two probes of a server that is not ready yet.
const PROBE_INTERVAL: Duration = Duration::from_millis(20);

/// Removes the cluster of `data_dir` with all its data and its server. Other files stay in the folder.
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

/// Finds a server of this home that outlived its owner, waits until it is ready, and returns it. A server that is not
/// ready within the deadline is stopped.
pub(crate) async fn adopt(home: &Home, deadline: Duration) -> Result<Option<(Postmaster, Endpoint)>, DevpgError> {
    let Some(pid) = server_pid(home) else { return Ok(None) };
    let postmaster = Postmaster::adopted(pid, home.pgdata());
    // The owner may have paused the server before it was killed.
    postmaster.resume();
    let end = Instant::now() + deadline;
    while !postmaster.is_gone() && Instant::now() < end {
        // Read again each time, because a starting server adds the lines one by one.
        let file = PidFile::read(&home.pgdata());
        if let Some(PidFile { port: Some(port), socket_dir: Some(socket_dir), .. }) = file {
            let answer = probe(&url::socket_url("postgres", &socket_dir, port)).await;
            let ready = match answer {
                Readiness::Ready(folder) => folder == home.pgdata(),
                // It runs, but has too many sessions, for example.
                Readiness::Refused(_) => true,
                Readiness::NotYet => false,
            };
            if ready {
                tracing::info!(%pid, port, home = %home.path().display(), "adopted a running PostgreSQL");
                return Ok(Some((postmaster, Endpoint { port, socket_dir })));
            }
        }
        tokio::time::sleep(PROBE_INTERVAL).await;
    }
    if !postmaster.is_gone() {
        tracing::warn!(%pid, home = %home.path().display(), "replacing a server of this cluster that does not answer");
        postmaster.stop().await?;
    }
    Ok(None)
}

/// The pid of this home's running server, from its pid file.
fn server_pid(home: &Home) -> Option<Pid> {
    let pid = PidFile::read(&home.pgdata())?.pid;
    processes::is_server_of(pid, &home.pgdata()).then_some(pid)
}

/// Ends the remaining processes of a server whose postmaster was killed, and removes its pid file. PostgreSQL does not
/// start while any program of the same user runs with the pid in that file.
pub(crate) async fn clear(home: &Home) -> Result<(), DevpgError> {
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
