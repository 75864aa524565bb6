//! The process group of a child: signalled as a whole, and gone as a whole before anything is said of how it ended.

use std::{io, time::Duration};

use nix::{
    errno::Errno,
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    process::Child,
    time::{self, Instant},
};

use super::guardian;

/// How often it is looked whether a group is gone: soon at first, then less often.
const FIRST_LOOK: Duration = Duration::from_millis(2);
const LAST_LOOK: Duration = Duration::from_millis(100);
/// A group that was sent SIGKILL is gone at once, unless a process hangs in the kernel, for which nobody can wait.
const KILL_PATIENCE: Duration = Duration::from_secs(2);

/// A process group. Dropped before it is gone, it is killed.
#[derive(Debug)]
pub(super) struct Group {
    leader: Pid,
    is_gone: bool,
}

impl Group {
    /// The group that this child leads.
    pub(super) fn of(child: &Child) -> io::Result<Self> {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let leader = id.ok_or_else(|| io::Error::other("the child has ended before it began"))?;
        let leader = Pid::from_raw(leader);
        guardian::watch(leader);
        Ok(Self { leader, is_gone: false })
    }

    /// Asks all processes to end, and kills those that have not within the grace.
    pub(super) async fn terminate(&mut self, grace: Duration) {
        self.signal(Signal::SIGTERM);
        if time::timeout(grace, self.gone()).await.is_err() {
            self.kill().await;
        }
    }

    /// Kills what is left of the group.
    pub(super) async fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        if time::timeout(KILL_PATIENCE, self.gone()).await.is_err() {
            tracing::error!(group = self.leader.as_raw(), "processes survive SIGKILL");
        }
        self.forget();
    }

    /// From here on the number may belong to another group.
    fn forget(&mut self) {
        if !std::mem::replace(&mut self.is_gone, true) {
            guardian::release(self.leader);
        }
    }

    async fn gone(&self) {
        let mut pause = FIRST_LOOK;
        while self.is_alive() {
            time::sleep_until(Instant::now() + pause).await;
            pause = (pause * 2).min(LAST_LOOK);
        }
    }

    fn signal(&self, signal: Signal) {
        if !self.is_gone
            && let Err(error) = killpg(self.leader, signal)
            && error != Errno::ESRCH
        {
            tracing::warn!(group = self.leader.as_raw(), %signal, %error, "signal not sent");
        }
    }

    fn is_alive(&self) -> bool {
        killpg(self.leader, None) != Err(Errno::ESRCH) && has_living_member(self.leader)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        self.forget();
    }
}

/// Processes that have ended and that their parent has not looked at still count as members, maybe for ever: in a container
/// whose first process does not care for orphans.
#[cfg(target_os = "linux")]
fn has_living_member(leader: Pid) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else { return true };
    let leader = leader.to_string();
    processes.flatten().any(|process| {
        let is_process = process.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit());
        let stat = if is_process { std::fs::read_to_string(process.path().join("stat")).ok() } else { None };
        // `pid (name) state parent group`, where the name may contain anything.
        let Some((_, fields)) = stat.as_deref().and_then(|stat| stat.rsplit_once(')')) else { return false };
        let mut fields = fields.split_whitespace();
        let state = fields.next();
        fields.nth(1) == Some(&leader) && !matches!(state, Some("Z" | "X"))
    })
}

#[cfg(not(target_os = "linux"))]
fn has_living_member(_: Pid) -> bool {
    true
}
