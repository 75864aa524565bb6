//! The server's first process, which starts all others. This process started it, or adopted it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::error::DevpgError;
use crate::processes;
use crate::spawn::Child;

/// The time between two checks of a process that is not our child, for which we can not wait.
const LOOK: Duration = Duration::from_millis(10);
/// The time limit of a fast shutdown. It writes a checkpoint, which takes long on a slow disk.
const FAST: Duration = Duration::from_secs(30);
/// The time limit of an immediate shutdown. It writes nothing; PostgreSQL itself kills its children after 5 s.
const IMMEDIATE: Duration = Duration::from_secs(10);
const KILLED: Duration = Duration::from_secs(10);

/// A postmaster, running or ended.
#[derive(Debug)]
pub(crate) struct Postmaster {
    pid: Pid,
    pgdata: PathBuf,
    /// `None` when adopted.
    child: Option<Child>,
}

impl Postmaster {
    pub(crate) fn started(child: Child, pgdata: PathBuf) -> Self {
        Self { pid: child.pid, pgdata, child: Some(child) }
    }

    pub(crate) fn adopted(pid: Pid, pgdata: PathBuf) -> Self {
        Self { pid, pgdata, child: None }
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    pub(crate) fn is_gone(&self) -> bool {
        match &self.child {
            Some(child) => child.exit.borrow().is_some(),
            None => !processes::is_server_of(self.pid, &self.pgdata),
        }
    }

    /// Completes when the process has ended.
    pub(crate) async fn gone(&self) {
        if let Some(child) = &self.child {
            // An error means that the waiting thread ended without a status. Then there is nothing to wait for.
            let _ = child.exit.clone().wait_for(Option::is_some).await;
            return;
        }
        while !self.is_gone() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Stops the server by a fast shutdown, after its time limit by an immediate one, and at last by SIGKILL.
    pub(crate) async fn stop(&self) -> Result<(), DevpgError> {
        self.resume();
        for (signal, deadline) in [(Signal::SIGINT, FAST), (Signal::SIGQUIT, IMMEDIATE)] {
            self.signal(signal);
            if tokio::time::timeout(deadline, self.gone()).await.is_ok() {
                return Ok(());
            }
            tracing::warn!(pid = %self.pid, %signal, ?deadline, "PostgreSQL did not end in time");
        }
        self.kill().await
    }

    /// Kills every process of the server by SIGKILL, and returns when all have ended.
    pub(crate) async fn kill(&self) -> Result<(), DevpgError> {
        let started = Instant::now();
        let members = self.freeze(started + KILLED).await;
        self.signal(Signal::SIGKILL);
        for pid in &members {
            processes::signal(*pid, Signal::SIGKILL);
        }
        let all_gone = async {
            self.gone().await;
            while members.iter().any(|pid| processes::is_running(*pid)) {
                tokio::time::sleep(LOOK).await;
            }
        };
        let left = KILLED.saturating_sub(started.elapsed());
        tokio::time::timeout(left, all_gone).await.map_err(|_| DevpgError::Stop { pid: self.pid.as_raw() })
    }

    /// Pauses every process of the server, as on a machine that hangs.
    pub(crate) async fn pause(&self) {
        let deadline = Instant::now() + KILLED;
        for pid in self.freeze(deadline).await {
            processes::signal(pid, Signal::SIGSTOP);
            stopped(pid, deadline).await;
        }
    }

    pub(crate) fn resume(&self) {
        for pid in processes::children_of(self.pid) {
            processes::signal(pid, Signal::SIGCONT);
        }
        self.signal(Signal::SIGCONT);
    }

    /// An immediate shutdown for `Drop`, which can not await. It blocks this thread for a moment.
    pub(crate) fn end_now(&self) {
        self.resume();
        self.signal(Signal::SIGQUIT);
        let deadline = Instant::now() + IMMEDIATE;
        while !self.is_gone() && Instant::now() < deadline {
            std::thread::sleep(LOOK);
        }
        self.signal(Signal::SIGKILL);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // Without this check the signal could hit another program that has the same pid now.
        if !self.is_gone() {
            processes::signal(self.pid, signal);
        }
    }

    /// Pauses the postmaster, so that it starts no more processes, and returns its children.
    async fn freeze(&self, deadline: Instant) -> Vec<Pid> {
        self.signal(Signal::SIGSTOP);
        stopped(self.pid, deadline).await;
        processes::children_of(self.pid)
    }
}

async fn stopped(pid: Pid, deadline: Instant) {
    while processes::is_running(pid) && !processes::is_stopped(pid) && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
