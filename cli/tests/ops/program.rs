//! Runs the program under test.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::journal::Journal;

/// The longest life of the program: much longer than any test needs. Afterwards it is killed and its test fails.
const LIFE: Duration = Duration::from_secs(150);
/// The time limit for the program's end.
const END: Duration = Duration::from_secs(60);

/// The program with these arguments, without the settings in the environment of the tests.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ops"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OPS_")) {
        // The settings of the machine say which PostgreSQL to use.
        if name != "OPS_PG_BIN" {
            command.env_remove(name);
        }
    }
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub fn ops(args: &[&str]) -> Ended {
    Running::start(args).end()
}

/// The end of the program.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Standard output, if the program succeeded.
    pub fn success(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }
}

/// The running program. Its drop kills it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    /// Its standard error.
    pub journal: Journal,
    /// Dropped once the program has ended, so that its pid is not used any more.
    _watchdog: mpsc::Sender<()>,
}

impl Running {
    pub fn start(args: &[&str]) -> Self {
        Self::of(command(args))
    }

    pub fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().map(BufReader::new);
        let journal = Journal::of(child.stderr.take().unwrap());
        let pid = pid_of(&child);
        let (watchdog, dropped) = mpsc::channel();
        thread::spawn(move || {
            if dropped.recv_timeout(LIFE) == Err(mpsc::RecvTimeoutError::Timeout) {
                // The program may end at this moment.
                let _ = kill(pid, Signal::SIGKILL);
            }
        });
        Self { child, stdout, journal, _watchdog: watchdog }
    }

    pub fn pid(&self) -> Pid {
        pid_of(&self.child)
    }

    /// The next line on standard output; empty at its end.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.as_mut().unwrap().read_line(&mut line).unwrap();
        line
    }

    /// Reads this many bytes of standard output.
    pub fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stdout.as_mut().unwrap().read_exact(&mut bytes).unwrap();
        bytes
    }

    /// The rest of standard output.
    pub fn rest_of_stdout(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.stdout.as_mut().unwrap().read_to_end(&mut rest).unwrap();
        rest
    }

    /// Closes the reading end of its output.
    pub fn close_stdout(&mut self) {
        self.stdout = None;
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Kills the program by SIGKILL, and returns when it has ended.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for the end of the program.
    pub fn end(mut self) -> Ended {
        let mut stdout = Vec::new();
        if let Some(mut rest) = self.stdout.take() {
            rest.read_to_end(&mut stdout).unwrap();
        }
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begin.elapsed() < END, "it does not end: {:?}", self.journal);
            thread::sleep(Duration::from_millis(10));
        };
        Ended { code: status.code(), stdout: String::from_utf8(stdout).unwrap(), stderr: self.journal.rest() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The program may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}
