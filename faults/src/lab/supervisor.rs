//! Keeps a process alive: starts it again after its end, unless it has to stay down.

use std::io;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use devpg::spawn::{Child, spawn};
use nix::sys::signal::{Signal, kill};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The wait before a restart, as with a supervisor in production.
const AGAIN: Duration = Duration::from_millis(300);

/// A program to keep alive.
#[async_trait]
pub(super) trait Supervised: Send + Sync + 'static {
    /// The name of its process of this number.
    fn actor(&self, number: u32) -> String;

    /// The command that starts a process.
    fn command(&self, actor: &str) -> io::Result<Command>;

    /// Called after each start. The process is up when this returns.
    async fn began(&self, process: &Process);

    /// Called after each end; `was_meant` if the lab ended it.
    async fn ended(&self, process: &Process, status: ExitStatus, was_meant: bool);
}

/// One process, from its start to its end.
#[derive(Debug, Clone)]
pub(super) struct Process {
    pub(super) actor: String,
    pub(super) child: Child,
}

impl Process {
    pub(super) fn pid(&self) -> u32 {
        self.child.pid.as_raw().unsigned_abs()
    }

    /// Sends a signal, but not to a process that has ended: its pid may belong to another one.
    pub(super) fn signal(&self, signal: Signal) {
        if self.child.exit.borrow().is_none()
            && let Err(error) = kill(self.child.pid, signal)
        {
            tracing::warn!(actor = self.actor, %signal, %error, "a signal was not sent");
        }
    }
}

/// Keeps one process alive. Dropping this kills it.
#[derive(Debug)]
pub(super) struct Supervisor {
    is_wanted: watch::Sender<bool>,
    process: watch::Receiver<Option<Process>>,
    _task: JoinSet<()>,
}

impl Supervisor {
    /// Starts the process.
    pub(super) fn start(supervised: Arc<dyn Supervised>) -> Self {
        let (is_wanted, wanted) = watch::channel(true);
        let (processes, process) = watch::channel(None);
        let mut task = JoinSet::new();
        task.spawn(keep(supervised, wanted, processes));
        Self { is_wanted, process, _task: task }
    }

    /// The process, while it is up.
    pub(super) fn process(&self) -> Option<Process> {
        self.process.borrow().clone()
    }

    /// Starts it again, and returns when it is up.
    pub(super) async fn up(&self) {
        self.is_wanted.send_replace(true);
        let mut process = self.process.clone();
        let _ended_with_the_lab = process.wait_for(Option::is_some).await;
    }

    /// Ends the process by a signal, and by SIGKILL after the timeout. True if the signal was enough.
    pub(super) async fn down(&self, signal: Signal, limit: Duration) -> bool {
        self.is_wanted.send_replace(false);
        let mut process = self.process.clone();
        let send = |signal| self.process.borrow().as_ref().map(|process| process.signal(signal));
        let _none = send(signal);
        let in_time = tokio::time::timeout(limit, process.wait_for(Option::is_none)).await.is_ok();
        if !in_time {
            let _none = send(Signal::SIGKILL);
            let _ended_with_the_lab = process.wait_for(Option::is_none).await;
        }
        in_time
    }
}

async fn keep(
    supervised: Arc<dyn Supervised>,
    mut wanted: watch::Receiver<bool>,
    processes: watch::Sender<Option<Process>>,
) {
    for number in 1.. {
        if wanted.wait_for(|wanted| *wanted).await.is_err() {
            return;
        }
        let actor = supervised.actor(number);
        let child = match supervised.command(&actor) {
            Ok(command) => spawn(command, Some(Signal::SIGKILL)).await,
            Err(error) => Err(error),
        };
        let child = match child {
            Ok(child) => child,
            Err(error) => return tracing::error!(actor, %error, "a process could not be started"),
        };
        let process = KillOnDrop(Process { actor, child });
        processes.send_replace(Some(process.0.clone()));
        supervised.began(&process.0).await;
        let mut exit = process.0.child.exit.clone();
        let status = exit.wait_for(Option::is_some).await.map(|status| *status);
        processes.send_replace(None);
        let was_meant = !*wanted.borrow();
        if let Ok(Some(status)) = status {
            supervised.ended(&process.0, status, was_meant).await;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Kills the process when the supervisor is dropped.
struct KillOnDrop(Process);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        self.0.signal(Signal::SIGKILL);
    }
}
