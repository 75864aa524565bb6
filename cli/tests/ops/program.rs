//! Runs the program under test.

use std::{
    io::Read,
    process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Far more than anything here takes; a test that waits so long has failed.
const LIMIT: Duration = Duration::from_secs(60);

/// The program with these arguments, free of the settings of whoever runs the tests.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ops"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OPS_")) {
        // Which PostgreSQL to take is the machine's affair, not a test's.
        if name != "OPS_PG_BIN" {
            command.env_remove(name);
        }
    }
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub fn ops(args: &[&str]) -> Ended {
    Ended::from(command(args).output().unwrap())
}

/// How the program ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The program while it runs. Dropped, it is killed.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
}

impl Running {
    pub fn start(args: &[&str]) -> Self {
        let mut child = command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take();
        let stderr = child.stderr.take();
        Self { child, stdout, stderr }
    }

    /// Nobody reads its output any more.
    pub fn close_stdout(&mut self) {
        self.stdout = None;
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ended {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begin.elapsed() < LIMIT, "it does not end");
            thread::sleep(Duration::from_millis(10));
        };
        let (mut stdout, mut stderr) = (String::new(), String::new());
        if let Some(mut rest) = self.stdout.take() {
            rest.read_to_string(&mut stdout).unwrap();
        }
        if let Some(mut rest) = self.stderr.take() {
            rest.read_to_string(&mut stderr).unwrap();
        }
        Ended { code: status.code(), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
