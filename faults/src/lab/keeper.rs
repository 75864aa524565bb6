//! Keeps a process alive: starts it again when it has ended, unless it shall be down.

use std::io;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use devpg::spawn::{Child, spawn};
use nix::sys::signal::{Signal, kill};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Before a process that ended is started again, as whoever supervises it would wait.
const AGAIN: Duration = Duration::from_millis(300);

/// What is kept alive.
#[async_trait]
pub(super) trait Kept: Send + Sync + 'static {
    /// What a life of this number is called.
    fn actor(&self, number: u32) -> String;

    /// How a life begins.
    fn command(&self, actor: &str) -> io::Result<Command>;

    /// It was started; it is alive when this returns.
    async fn began(&self, life: &Life);

    /// It has ended; `was_meant`: the lab has ended it.
    async fn ended(&self, life: &Life, status: ExitStatus, was_meant: bool);
}

/// One process, from its start to its end.
#[derive(Debug, Clone)]
pub(super) struct Life {
    pub(super) actor: String,
    pub(super) child: Child,
}

impl Life {
    pub(super) fn pid(&self) -> u32 {
        self.child.pid.as_raw().unsigned_abs()
    }

    /// Nothing happens to one that has ended: its number may be another's.
    pub(super) fn signal(&self, signal: Signal) {
        if self.child.exit.borrow().is_none()
            && let Err(error) = kill(self.child.pid, signal)
        {
            tracing::warn!(actor = self.actor, %signal, %error, "a signal was not sent");
        }
    }
}

/// Keeps one process alive. Dropped, it ends it.
#[derive(Debug)]
pub(super) struct Keeper {
    is_wanted: watch::Sender<bool>,
    life: watch::Receiver<Option<Life>>,
    _task: JoinSet<()>,
}

impl Keeper {
    /// Starts it at once.
    pub(super) fn start(kept: Arc<dyn Kept>) -> Self {
        let (is_wanted, wanted) = watch::channel(true);
        let (lives, life) = watch::channel(None);
        let mut task = JoinSet::new();
        task.spawn(keep(kept, wanted, lives));
        Self { is_wanted, life, _task: task }
    }

    /// The process, while it lives.
    pub(super) fn life(&self) -> Option<Life> {
        self.life.borrow().clone()
    }

    /// Starts it again, and returns when it lives.
    pub(super) async fn up(&self) {
        self.is_wanted.send_replace(true);
        let mut life = self.life.clone();
        let _ended_with_the_lab = life.wait_for(Option::is_some).await;
    }

    /// Ends it with a signal, by SIGKILL if it is not gone after this time. True if the signal was enough.
    pub(super) async fn down(&self, signal: Signal, patience: Duration) -> bool {
        self.is_wanted.send_replace(false);
        let mut life = self.life.clone();
        let send = |signal| self.life.borrow().as_ref().map(|life| life.signal(signal));
        let _none = send(signal);
        let in_time = tokio::time::timeout(patience, life.wait_for(Option::is_none)).await.is_ok();
        if !in_time {
            let _none = send(Signal::SIGKILL);
            let _ended_with_the_lab = life.wait_for(Option::is_none).await;
        }
        in_time
    }
}

async fn keep(kept: Arc<dyn Kept>, mut wanted: watch::Receiver<bool>, lives: watch::Sender<Option<Life>>) {
    for number in 1.. {
        if wanted.wait_for(|wanted| *wanted).await.is_err() {
            return;
        }
        let actor = kept.actor(number);
        let child = match kept.command(&actor) {
            Ok(command) => spawn(command, Some(Signal::SIGKILL)).await,
            Err(error) => Err(error),
        };
        let child = match child {
            Ok(child) => child,
            Err(error) => return tracing::error!(actor, %error, "a process could not be started"),
        };
        let life = Ender(Life { actor, child });
        lives.send_replace(Some(life.0.clone()));
        kept.began(&life.0).await;
        let mut exit = life.0.child.exit.clone();
        let status = exit.wait_for(Option::is_some).await.map(|status| *status);
        lives.send_replace(None);
        let was_meant = !*wanted.borrow();
        if let Ok(Some(status)) = status {
            kept.ended(&life.0, status, was_meant).await;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Whoever is told to keep nothing more ends what it kept.
struct Ender(Life);

impl Drop for Ender {
    fn drop(&mut self) {
        self.0.signal(Signal::SIGKILL);
    }
}
