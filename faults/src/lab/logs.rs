//! The logs of all processes, in the run's folder.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use devpg::spawn::Child;

/// The interval at which a log is read.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// The time limit of a start.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The text of the standard library when a thread panics.
const PANIC: &str = " panicked at ";

/// The log of a process of this name.
pub(crate) fn path(folder: &Path, name: &str) -> PathBuf {
    folder.join("logs").join(format!("{name}.log"))
}

/// Sends the output of a command to its log.
pub(crate) fn redirect(command: &mut Command, path: &Path) -> io::Result<()> {
    let log: File = OpenOptions::new().append(true).create(true).open(path)?;
    command.stdout(log.try_clone()?).stderr(log);
    Ok(())
}

/// Waits for a line with these words in a log. Returns the rest of the line after them.
pub(crate) async fn line_with(path: &Path, words: &str, child: &Child) -> Result<String> {
    let look = async {
        loop {
            let has_ended = child.exit.borrow().is_some();
            let text = std::fs::read_to_string(path)?;
            let line = text.split_inclusive('\n').find(|line| line.ends_with('\n') && line.contains(words));
            if let Some((_, rest)) = line.and_then(|line| line.trim_end().split_once(words)) {
                return Ok(rest.to_owned());
            }
            if has_ended {
                bail!("it ended before it logged `{words}`");
            }
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    };
    tokio::time::timeout(TIMEOUT, look).await?
}

/// The lines with a panic in the logs of a run.
pub(super) fn panics(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder.join("logs"))? {
        let path = entry?.path();
        let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        found.extend(text.lines().filter(|line| line.contains(PANIC)).map(|line| format!("{name}: {line}")));
    }
    Ok(found)
}
