//! One seed: `faults run` in a process of its own, with a time limit.

use std::fmt;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use devpg::spawn::{self, spawn};
use nix::sys::signal::{Signal, kill};
use tokio::time::timeout;

use super::options::Options;
use crate::checker::{self, Verdict};

/// How long a run may take after SIGTERM, to end its processes.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

/// A run that has not ended.
#[derive(Debug)]
pub(super) struct Child {
    seed: u64,
    process: spawn::Child,
    folder: PathBuf,
    output: PathBuf,
    started: Instant,
    seconds: Duration,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Good,
    /// A promise was broken.
    Broken,
    /// The run itself failed, so it proves nothing.
    Failed,
    /// The run exceeded its time and was killed.
    Hung,
}

/// The result of one seed.
#[derive(Debug, Clone)]
pub struct End {
    pub seed: u64,
    pub outcome: Outcome,
    pub took: Duration,
    /// None if the run ended too early to be judged.
    pub verdict: Option<Verdict>,
    /// The folder of the run, if it was kept.
    pub kept: Option<PathBuf>,
    /// The last lines of its output.
    pub output_end: String,
}

/// How many lines of the output are kept.
const OUTPUT_LINES: usize = 12;

impl Child {
    pub(super) async fn start(options: &Options, seed: u64) -> Result<Self> {
        let Options { program, arguments, seconds, folder, .. } = options;
        let (output, folder) = (folder.join(format!("seed-{seed}.txt")), folder.join(format!("seed-{seed}")));
        let file = File::create(&output).with_context(|| format!("can not write {}", output.display()))?;
        let mut command = Command::new(program);
        command
            .args(["run", "--seed", &seed.to_string(), "--seconds", &seconds.to_string(), "--folder"])
            .arg(&folder)
            .args(arguments)
            .stdout(file.try_clone()?)
            .stderr(file);
        // It gets SIGTERM when this process dies, and then ends its own processes.
        let process = spawn(command, Some(Signal::SIGTERM)).await;
        let process = process.with_context(|| format!("can not run {}", program.display()))?;
        Ok(Self { seed, process, folder, output, started: Instant::now(), seconds: Duration::from_secs(*seconds) })
    }

    /// Waits for the end of the run, but no longer than `after_faults` after its last fault.
    pub(super) async fn end(mut self, after_faults: Duration) -> Result<End> {
        let code = self.wait(self.seconds + after_faults).await?;
        let outcome = match code {
            Some(0) => Outcome::Good,
            Some(1) => Outcome::Broken,
            Some(_) => Outcome::Failed,
            None => Outcome::Hung,
        };
        let took = self.started.elapsed();
        // A run that ended too early to be judged says why in its output.
        let verdict = checker::check(&self.folder).ok();
        let output_end = last_lines(&fs::read(&self.output).unwrap_or_default());
        let mut kept = None;
        if outcome == Outcome::Good {
            fs::remove_file(&self.output)?;
            if self.folder.exists() {
                fs::remove_dir_all(&self.folder)?;
            }
        } else {
            kept = Some(self.folder);
        }
        Ok(End { seed: self.seed, outcome, took, verdict, kept, output_end })
    }

    /// The exit code; none if the process was killed.
    async fn wait(&mut self, longest: Duration) -> Result<Option<i32>> {
        let spawn::Child { pid, exit } = &mut self.process;
        for (limit, signal) in [(longest, Signal::SIGTERM), (SHUTDOWN_TIMEOUT, Signal::SIGKILL)] {
            if let Ok(status) = timeout(limit, exit.wait_for(Option::is_some)).await {
                let code = status?.and_then(|status| status.code()).unwrap_or(2);
                return Ok((signal == Signal::SIGTERM).then_some(code));
            }
            // The process may have ended already.
            let _ = kill(*pid, signal);
        }
        exit.wait_for(Option::is_some).await?;
        Ok(None)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outcome::Good => "good",
            Outcome::Broken => "BROKEN",
            Outcome::Failed => "FAILED",
            Outcome::Hung => "HUNG",
        })
    }
}

/// A line, and the end of the output of a run that was not good.
impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {:<10} {:<6} {:>4} s", self.seed, self.outcome.to_string(), self.took.as_secs())?;
        if let Some(Verdict { facts, .. }) = &self.verdict {
            let faults: usize = facts.faults.values().sum();
            write!(f, "  {:>5} runs {:>5} executions {faults:>3} faults", facts.runs, facts.executions)?;
        }
        if self.outcome != Outcome::Good {
            for line in self.output_end.lines() {
                write!(f, "\n    {line}")?;
            }
        }
        Ok(())
    }
}

fn last_lines(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(OUTPUT_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    /// The result of a script in place of the program `faults`. `$7` is the folder of the run.
    async fn end_of(script: &str, folder: &Path, after_faults: Duration) -> End {
        let program = folder.join("program");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let options =
            Options { program, arguments: vec![], seeds: vec![], parallel: 1, seconds: 0, folder: folder.to_owned() };
        Child::start(&options, 5).await.unwrap().end(after_faults).await.unwrap()
    }

    #[tokio::test]
    async fn the_exit_code_says_how_a_run_ended_and_only_folders_of_good_runs_are_removed() {
        for (code, outcome) in [(0, Outcome::Good), (1, Outcome::Broken), (2, Outcome::Failed)] {
            let folder = tempfile::tempdir().unwrap();
            let script = format!("mkdir \"$7\"; echo words; exit {code}");
            let end = end_of(&script, folder.path(), Duration::from_secs(60)).await;
            assert_eq!((end.outcome, end.output_end.as_str()), (outcome, "words"));
            assert_eq!(folder.path().join("seed-5").exists(), outcome != Outcome::Good);
            assert_eq!(end.kept.is_some(), outcome != Outcome::Good);
        }
    }

    #[tokio::test]
    async fn a_run_that_does_not_end_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let end = end_of("exec tail -f /dev/null", folder.path(), Duration::ZERO).await;
        assert_eq!(end.outcome, Outcome::Hung);
    }
}
