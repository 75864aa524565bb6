//! What holds up runs until their test says, and what they leave behind for it.

use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nix::sys::stat::Mode;

/// Far more than anything that is waited for here takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// Nobody tells when a file or a process comes or goes: it is looked for this often.
const LOOK: Duration = Duration::from_millis(20);

/// A gate: scripts wait at it without using the processor until it is opened, and from then on they pass.
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

    /// The command that waits.
    pub fn pass(&self) -> String {
        // A pipe is opened for reading when somebody has opened it for writing.
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

    /// The command that adds it. The shell opens the file with O_APPEND, and a short line is written at once.
    pub fn sign(&self) -> String {
        format!("echo $OPS_RUN_ID >> '{}'", self.0.display())
    }

    pub fn lines(&self) -> Vec<String> {
        fs::read_to_string(&self.0).unwrap().lines().map(ToOwned::to_owned).collect()
    }

    /// Waits until so many runs have signed.
    pub async fn until(&self, count: usize) {
        eventually(&format!("{count} lines in the ledger"), || self.lines().len() >= count).await;
    }
}

/// Waits until this is so, and gives how long it took.
pub async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "still not: {what}");
        tokio::time::sleep(LOOK).await;
    }
    begin.elapsed()
}
