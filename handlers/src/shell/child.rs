//! The process group of a child. Signals go to the whole group, and the whole group is gone before its end is reported.

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

/// The interval between two looks whether a group is gone: short at first, then longer.
const FIRST_LOOK: Duration = Duration::from_millis(2);
const LAST_LOOK: Duration = Duration::from_millis(100);
/// After SIGKILL a group is gone at once, unless a process hangs in the kernel. Nobody can wait for that.
const KILL_TIMEOUT: Duration = Duration::from_secs(2);

/// A process group. Dropping it kills what is left of it.
#[derive(Debug)]
pub(super) struct Group {
    leader: Pid,
    is_gone: bool,
}

impl Group {
    /// The group whose leader is this child.
    pub(super) fn of(child: &Child) -> io::Result<Self> {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let leader = id.ok_or_else(|| io::Error::other("the child has ended before it began"))?;
        let leader = Pid::from_raw(leader);
        guardian::watch(leader);
        Ok(Self { leader, is_gone: false })
    }

    /// Asks all processes to end, and kills those that have not ended within the grace.
    pub(super) async fn terminate(&mut self, grace: Duration) {
        self.signal(Signal::SIGTERM);
        if time::timeout(grace, self.gone()).await.is_err() {
            self.kill().await;
        }
    }

    /// Kills what is left of the group.
    pub(super) async fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        if time::timeout(KILL_TIMEOUT, self.gone()).await.is_err() {
            tracing::error!(group = self.leader.as_raw(), "processes survive SIGKILL");
        }
        self.forget();
    }

    /// From now on another group may have the number.
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

/// The kernel counts an ended process as a member of the group until its parent has waited for it. In a container whose first
/// process does not wait for orphans, that is for ever.
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
