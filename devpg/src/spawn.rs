//! Starts a program on a thread that waits for it, so that it leaves no zombie. The program can end with its owner.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::sync::{oneshot, watch};

/// A program that this process started.
#[derive(Debug, Clone)]
pub struct Child {
    pub pid: Pid,
    /// Its exit status, once it has ended.
    pub exit: watch::Receiver<Option<ExitStatus>>,
}

/// Runs `command` in a process group of its own, so that a Ctrl-C in the terminal reaches only the owner, which then
/// stops its programs in order.
///
/// `on_owner_death` is the signal that the kernel sends to the program when this process ends (Linux only). For the
/// kernel, that is the end of the *thread* that forked, so a dedicated thread waits for the program's end.
pub async fn spawn(mut command: Command, on_owner_death: Option<Signal>) -> io::Result<Child> {
    command.stdin(Stdio::null()).process_group(0);
    if let Some(signal) = on_owner_death {
        die_with_owner(&mut command, signal);
    }
    let (started, start) = oneshot::channel();
    thread::Builder::new().name("devpg-reaper".to_owned()).spawn(move || match command.spawn() {
        Ok(mut child) => {
            let (exited, exit) = watch::channel(None);
            let pid = Pid::from_raw(child.id().cast_signed());
            // If the caller dropped its future, nobody else would stop this program.
            if started.send(Ok(Child { pid, exit })).is_err() {
                let _ = child.kill();
            }
            match child.wait() {
                Ok(status) => drop(exited.send(Some(status))),
                Err(error) => tracing::warn!(%pid, %error, "cannot wait for a program"),
            }
        }
        Err(error) => drop(started.send(Err(error))),
    })?;
    start.await.unwrap_or_else(|_| Err(io::Error::other("the thread that starts programs panicked")))
}

#[cfg(target_os = "linux")]
fn die_with_owner(command: &mut Command, signal: Signal) {
    let owner = std::process::id();
    let ask = move || {
        nix::sys::prctl::set_pdeathsig(signal)?;
        // The owner may have died between fork and the line above. Then the kernel sends no signal.
        if std::os::unix::process::parent_id() == owner { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    };
    // SAFETY: the closure runs between fork and exec, where only async-signal-safe calls are allowed: it makes two
    // system calls, prctl and getppid, and allocates nothing. It runs after setuid, which would undo the prctl.
    unsafe { command.pre_exec(ask) };
}

#[cfg(not(target_os = "linux"))]
fn die_with_owner(_command: &mut Command, _signal: Signal) {}
