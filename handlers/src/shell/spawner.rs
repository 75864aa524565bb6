//! Starts child processes from one thread that lives as long as the process. The kernel can kill a child when its parent dies,
//! but the parent is the thread that started the child, and a thread of an async runtime may end early.

use std::{
    io,
    sync::{Mutex, PoisonError},
    thread,
};

use nix::{sys::signal::Signal, unistd};
use tokio::{
    process::{Child, Command},
    runtime::Handle,
    sync::{mpsc, oneshot},
};

use super::{child::Group, guardian};

/// Starts that wait for the thread. Each takes about a millisecond; more handlers wait for room.
const QUEUE: usize = 64;

/// A child that leads a session and a process group of its own. Dropping it kills the group.
#[derive(Debug)]
pub(super) struct Spawned {
    pub(super) child: Child,
    pub(super) group: Group,
}

struct Job {
    command: Command,
    runtime: Handle,
    answer: oneshot::Sender<io::Result<Spawned>>,
}

/// Starts the command as the leader of a new process group, which is killed when this process dies.
///
/// # Errors
/// Those of the start, such as a program that does not exist.
pub(super) async fn spawn(command: Command) -> io::Result<Spawned> {
    let (answer, started) = oneshot::channel();
    let job = Job { command, runtime: Handle::current(), answer };
    let gone = || io::Error::other("the thread that starts processes is gone");
    thread()?.send(job).await.map_err(|_| gone())?;
    started.await.map_err(|_| gone())?
}

/// The thread. If it could not be started, the next call tries again.
fn thread() -> io::Result<mpsc::Sender<Job>> {
    static THREAD: Mutex<Option<mpsc::Sender<Job>>> = Mutex::new(None);
    let mut thread = THREAD.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(jobs) = thread.as_ref().filter(|jobs| !jobs.is_closed()) {
        return Ok(jobs.clone());
    }
    let jobs = start_thread()?;
    *thread = Some(jobs.clone());
    Ok(jobs)
}

fn start_thread() -> io::Result<mpsc::Sender<Job>> {
    let (tx, mut jobs) = mpsc::channel::<Job>(QUEUE);
    let thread = thread::Builder::new().name("ops-spawner".into());
    thread.spawn(move || {
        while let Some(job) = jobs.blocking_recv() {
            let _inside = job.runtime.enter();
            // If nobody waits for the answer, dropping it kills the child.
            let _unheard = job.answer.send(start(job.command));
        }
    })?;
    Ok(tx)
}

fn start(mut command: Command) -> io::Result<Spawned> {
    guardian::ready()?;
    let parent = unistd::getpid();
    // SAFETY: between fork and exec only async-signal-safe calls are made: setsid, prctl and getppid are system calls that
    // touch no memory of the parent, and an `io::Error` from an errno does not allocate.
    unsafe {
        command.pre_exec(move || {
            unistd::setsid()?;
            die_with_parent(parent)
        });
    }
    let child = command.spawn()?;
    let group = Group::of(&child)?;
    Ok(Spawned { child, group })
}

#[cfg(target_os = "linux")]
fn die_with_parent(parent: unistd::Pid) -> io::Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    // The parent may have died just before.
    if unistd::getppid() == parent { Ok(()) } else { Err(io::ErrorKind::Interrupted.into()) }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: unistd::Pid) -> io::Result<()> {
    Ok(())
}
