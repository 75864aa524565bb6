//! The processes of this machine: which run, which are stopped, and which are servers of a data folder.

use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process that has not ended. A zombie has ended: only its parent's `wait` is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    pid: Pid,
    parent: Pid,
    stopped: bool,
}

/// Whether the process has not ended.
pub(crate) fn is_running(pid: Pid) -> bool {
    seen::one(pid).is_some()
}

/// Whether the process is stopped by SIGSTOP.
pub(crate) fn is_stopped(pid: Pid) -> bool {
    seen::one(pid).is_some_and(|it| it.stopped)
}

/// The processes that `pid` started.
pub(crate) fn children_of(pid: Pid) -> Vec<Pid> {
    seen::all().into_iter().filter(|it| it.parent == pid).map(|it| it.pid).collect()
}

/// Whether `pid` is a server process of this data folder, and not another program that got the same pid later.
pub(crate) fn is_server_of(pid: Pid, pgdata: &Path) -> bool {
    is_running(pid) && seen::serves(pid, pgdata)
}

/// Every server process of this data folder, also without a postmaster.
pub(crate) fn servers_of(pgdata: &Path) -> Vec<Pid> {
    seen::all().into_iter().map(|it| it.pid).filter(|pid| seen::serves(*pid, pgdata)).collect()
}

/// Sends a signal. A process that has ended needs none.
pub(crate) fn signal(pid: Pid, signal: Signal) {
    if let Err(error) = kill(pid, signal) {
        tracing::debug!(%pid, %signal, %error, "signal not delivered");
    }
}

#[cfg(target_os = "linux")]
mod seen {
    use std::fs;
    use std::path::{Path, PathBuf};

    use nix::unistd::Pid;

    use super::Process;

    pub(super) fn one(pid: Pid) -> Option<Process> {
        parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    pub(super) fn all() -> Vec<Process> {
        let names = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.filter_map(|name| one(Pid::from_raw(name.to_str()?.parse().ok()?))).collect()
    }

    /// Whether a process works in this data folder and its program is postgres. A shell in the folder is not a server.
    pub(super) fn serves(pid: Pid, pgdata: &Path) -> bool {
        let of = |name: &str| PathBuf::from(format!("/proc/{pid}/{name}"));
        let (Ok(program), Ok(folder)) = (fs::read_link(of("exe")), fs::read_link(of("cwd"))) else {
            return names(&fs::read(of("cmdline")).unwrap_or_default(), pgdata);
        };
        // After an upgrade, the link of the old program reads `postgres (deleted)`.
        let named = program.file_name().is_some_and(|it| it.to_string_lossy().starts_with("postgres"));
        named && folder == pgdata
    }

    /// Root in a container may not follow the links of another user's processes (CAP_SYS_PTRACE). Then only the command
    /// line identifies the postmaster. Its children stay unknown, but end soon after it.
    pub(super) fn names(command_line: &[u8], pgdata: &Path) -> bool {
        let mut arguments = command_line.split(|byte| *byte == 0);
        let program = arguments.next().unwrap_or_default().ends_with(b"/postgres");
        let folder = arguments.skip_while(|argument| *argument != b"-D").nth(1);
        program && folder == Some(pgdata.as_os_str().as_encoded_bytes())
    }

    /// `pid (name) state parent ...`. The name may contain blanks and parentheses.
    pub(super) fn parse(pid: Pid, stat: &str) -> Option<Process> {
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?;
        let parent = Pid::from_raw(fields.next()?.parse().ok()?);
        let ended = matches!(state, "Z" | "X" | "x");
        (!ended).then_some(Process { pid, parent, stopped: matches!(state, "T" | "t") })
    }
}

#[cfg(not(target_os = "linux"))]
mod seen {
    use std::path::Path;
    use std::process::Command;

    use nix::unistd::Pid;

    use super::Process;

    pub(super) fn one(pid: Pid) -> Option<Process> {
        all().into_iter().find(|it| it.pid == pid)
    }

    pub(super) fn all() -> Vec<Process> {
        lines(&["-axo", "pid=,ppid=,stat="]).iter().filter_map(|line| parse(line)).collect()
    }

    /// Only the postmaster's command line names the data folder. Its children show their activity instead.
    pub(super) fn serves(pid: Pid, pgdata: &Path) -> bool {
        let command = lines(&["-o", "command=", "-p", &pid.to_string()]).concat();
        command.contains("postgres") && command.contains(&pgdata.display().to_string())
    }

    fn lines(arguments: &[&str]) -> Vec<String> {
        let output = Command::new("ps").args(arguments).output();
        let text = output.map(|it| String::from_utf8_lossy(&it.stdout).into_owned()).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn parse(line: &str) -> Option<Process> {
        let mut fields = line.split_whitespace();
        let pid = Pid::from_raw(fields.next()?.parse().ok()?);
        let parent = Pid::from_raw(fields.next()?.parse().ok()?);
        let state = fields.next()?;
        (!state.starts_with('Z')).then_some(Process { pid, parent, stopped: state.starts_with('T') })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use nix::unistd::Pid;

    use std::path::Path;

    use super::seen::{names, parse};

    #[test]
    fn a_command_line_tells_a_server_of_this_folder_from_others() {
        let folder = Path::new("/home/a b/pgdata");
        assert!(names(b"/usr/lib/postgresql/15/bin/postgres\0-D\0/home/a b/pgdata\0-c\0port=1\0", folder));
        assert!(!names(b"/usr/lib/postgresql/15/bin/postgres\0-D\0/home/a b/pgdata2\0", folder));
        assert!(!names(b"/usr/bin/vi\0-D\0/home/a b/pgdata\0", folder));
        assert!(!names(b"postgres: checkpointer \0", folder));
    }

    #[test]
    fn a_name_with_parentheses_does_not_confuse_and_a_zombie_has_ended() {
        let pid = Pid::from_raw(7);
        assert!(parse(pid, "7 (a) (b) T 3 7 7").unwrap().stopped);
        assert_eq!(parse(pid, "7 (a) S 3 7 7").unwrap().parent.as_raw(), 3);
        assert_eq!(parse(pid, "7 (a) Z 3 7 7"), None);
    }
}
