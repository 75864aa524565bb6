//! A gate at which runs wait for their test, and a ledger that runs sign.

use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nix::sys::stat::Mode;

/// The time limit of every wait: much longer than any wait here takes.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The time between two checks for a file or a process, whose changes send no signal.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// A gate. Scripts wait at it without using the processor, and pass once it is open.
#[derive(Debug)]
pub struct Gate {
    path: PathBuf,
    opened: Option<File>,
}

impl Gate {
    pub fn new(folder: &Path, name: &str) -> Self {
        let path = folder.join(name);
        nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o666)).unwrap();
        Self { path, opened: None }
    }

    /// The command that waits at the gate.
    pub fn pass(&self) -> String {
        // Opening a pipe for reading blocks until the gate opens it for writing.
        format!(": < '{}'", self.path.display())
    }

    pub fn open(&mut self) {
        self.opened = Some(OpenOptions::new().read(true).write(true).open(&self.path).unwrap());
    }
}

/// A file to which each run adds its id.
#[derive(Debug)]
pub struct Ledger(PathBuf);

impl Ledger {
    pub fn new(folder: &Path, name: &str) -> Self {
        let path = folder.join(name);
        fs::write(&path, "").unwrap();
        Self(path)
    }

    /// The command that adds the id. The shell opens the file with O_APPEND and writes the short line in one call.
    pub fn sign(&self) -> String {
        format!("echo $OPS_RUN_ID >> '{}'", self.0.display())
    }

    pub fn lines(&self) -> Vec<String> {
        fs::read_to_string(&self.0).unwrap().lines().map(ToOwned::to_owned).collect()
    }

    /// Waits until this many runs have signed.
    pub async fn until(&self, count: usize) {
        eventually(&format!("{count} lines in the ledger"), || self.lines().len() >= count).await;
    }
}

/// Waits until the condition holds, and returns how long that took.
pub async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < TIMEOUT, "still not: {what}");
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
    begin.elapsed()
}
