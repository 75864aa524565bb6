//! The first process of a container. Every process whose parent has ended becomes its child, and stays as a zombie until it is waited
//! for. The kernel also ignores signals that the first process does not handle. So the first process does only what an init does: it starts
//! this program again as its child, passes signals on, and waits for whatever ends.

use std::process::ExitCode;

/// If this is the first process, runs the program in a child and returns the child's exit status.
#[cfg(target_os = "linux")]
pub(crate) fn supervise() -> Option<ExitCode> {
    if std::process::id() != 1 {
        linux::unblock_if_child();
        return None;
    }
    match linux::start() {
        Ok((child, signals)) => Some(linux::wait(child, &signals)),
        Err(error) => {
            crate::output::tell(format_args!(
                "this is the first process of its container, and can not start a child ({error}): processes that runs leave behind stay as \
                 zombies; start it with an init, as `docker run --init` does"
            ));
            None
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn supervise() -> Option<ExitCode> {
    None
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        env, io,
        os::unix::process::CommandExt,
        process::{Command, ExitCode},
    };

    use nix::{
        sys::{
            signal::{SigSet, SigmaskHow, Signal, kill},
            signalfd::SignalFd,
            wait::{WaitPidFlag, WaitStatus, waitpid},
        },
        unistd::Pid,
    };

    /// The kernel sends these for what this process itself does wrong.
    const FAULTS: [Signal; 7] = [
        Signal::SIGABRT,
        Signal::SIGBUS,
        Signal::SIGFPE,
        Signal::SIGILL,
        Signal::SIGSEGV,
        Signal::SIGSYS,
        Signal::SIGTRAP,
    ];
    /// `si_code` of a signal from the kernel, such as that of a key on the terminal. The terminal sends it to the child, too.
    const FROM_KERNEL: i32 = 0x80;

    /// Starts the program again. From then on this process handles signals only by reading them.
    pub(super) fn start() -> io::Result<(Pid, SignalFd)> {
        let program = env::current_exe()?;
        let mut args = env::args_os();
        let mut command = Command::new(program);
        if let Some(name) = args.next() {
            command.arg0(name);
        }
        let mut all = SigSet::all();
        FAULTS.into_iter().for_each(|fault| all.remove(fault));
        let before = all.thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        let started = SignalFd::new(&all).map_err(io::Error::from).and_then(|signals| {
            // The child unblocks them. Until then they wait, so none is lost.
            let child = command.args(args).spawn()?;
            Ok((Pid::from_raw(child.id().cast_signed()), signals))
        });
        if started.is_err() {
            before.thread_set_mask()?;
        }
        started
    }

    /// The child of a first process starts with the signals blocked that its parent reads.
    pub(super) fn unblock_if_child() {
        if Pid::parent().as_raw() == 1 {
            // It fails only for a set that does not exist.
            let _ = SigSet::all().thread_unblock();
        }
    }

    /// Passes signals on and waits for whatever ends, until the child has ended.
    pub(super) fn wait(child: Pid, signals: &SignalFd) -> ExitCode {
        loop {
            if let Some(status) = reap(child) {
                return status;
            }
            let Ok(Some(signal)) = signals.read_signal() else { continue };
            let known = i32::try_from(signal.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok());
            match known {
                Some(Signal::SIGCHLD) | None => {}
                Some(Signal::SIGINT | Signal::SIGQUIT | Signal::SIGTSTP) if signal.ssi_code == FROM_KERNEL => {}
                // The child may end at this moment.
                Some(signal) => drop(kill(child, signal)),
            }
        }
    }

    /// Waits for all that have ended. Returns the status of the child if it is among them.
    fn reap(child: Pid) -> Option<ExitCode> {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, status)) if pid == child => {
                    return Some(ExitCode::from(u8::try_from(status).unwrap_or(u8::MAX)));
                }
                // As shells do.
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => {
                    return Some(ExitCode::from(u8::try_from(128 + signal as i32).unwrap_or(u8::MAX)));
                }
                Ok(WaitStatus::StillAlive) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}
