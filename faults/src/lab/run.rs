//! A run from start to end.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, fs};

use anyhow::{Context, Result, bail, ensure};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::actors::Watching;
use super::deployment::Deployment;
use super::fault::Fault;
use super::plan::{Step, plan};
use super::{actors, inject, logs, monitor, settle};
use crate::checker::{self, Verdict};
use crate::findings::{Findings, SharedFindings};
use crate::history::{Plan, Planned, What};
use crate::workload::Known;

/// How long all servers may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(180);
/// How long a client may take to end its calls, once all faults are over.
const CLIENTS_END: Duration = Duration::from_secs(120);
/// How long a watcher may take to see the last change, once all runs have ended.
const WATCHERS_END: Duration = Duration::from_secs(60);

/// The options of a run.
#[derive(Debug, Clone)]
pub struct Options {
    pub seed: u64,
    /// How long faults are injected.
    pub seconds: u64,
    pub folder: PathBuf,
    /// The program under test.
    pub program: PathBuf,
    /// Only these faults; empty means all.
    pub only: Vec<Fault>,
}

/// The result of a run.
#[derive(Debug)]
pub struct Report {
    pub verdict: Verdict,
    pub findings: Findings,
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.verdict.is_good() && self.findings.violations.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = self.findings.facts.iter().map(|(what, value)| format!("{what}: {value}"));
        writeln!(f, "{}", facts.collect::<Vec<_>>().join(", "))?;
        for violation in &self.findings.violations {
            writeln!(f, "lab: {violation}")?;
        }
        write!(f, "{}", self.verdict)
    }
}

/// Runs, judges, and leaves all files in the folder.
///
/// # Errors
///
/// The lab itself fails. The program may still be correct.
pub async fn run(options: &Options) -> Result<Report> {
    let steps = plan(options.seed, options.seconds, &options.only);
    prepare(options, &steps)?;
    let findings = Arc::new(SharedFindings::default());
    let deployment = Arc::new(Deployment::open(&options.folder, &options.program, &findings).await?);
    let played = Box::pin(play(options, &deployment, steps)).await;
    settle::keep_log(&deployment)?;
    played?;
    for line in logs::panics(&options.folder)? {
        findings.violation(format!("a panic: {line}"));
    }
    let found = findings.all();
    fs::write(options.folder.join("lab.json"), serde_json::to_vec_pretty(&found)?)?;
    Ok(Report { verdict: checker::check(&options.folder)?, findings: found })
}

/// From the start of the load to the end of all processes.
async fn play(options: &Options, deployment: &Arc<Deployment>, steps: Vec<Step>) -> Result<()> {
    let mut monitoring = JoinSet::new();
    monitor::start(deployment, &mut monitoring);
    monitor::all_ready(deployment, START_TIMEOUT).await?;

    let (stop, (settled, settling), known) =
        (CancellationToken::new(), watch::channel(false), Arc::new(Known::default()));
    let mut clients = actors::clients(deployment, options.seed, &known, &stop)?;
    let Watching { mut watchers, bookmarks } = actors::watchers(deployment, &settling)?;
    let begin = Instant::now();
    let mut faults = JoinSet::new();
    for step in steps {
        faults.spawn(Box::pin(inject::step(Arc::clone(deployment), step, begin)));
    }
    tokio::time::sleep_until(begin + Duration::from_secs(options.seconds)).await;
    all(&mut faults).await?;

    settle::restore(deployment).await?;
    stop.cancel();
    match tokio::time::timeout(CLIENTS_END, all(&mut clients)).await {
        Ok(ended) => ended?,
        Err(_) => {
            deployment.findings.violation(format!("a client has not ended {CLIENTS_END:?} after the last fault"));
        }
    }
    settle::late_commits(deployment, &known, bookmarks).await?;
    let in_time = settle::settle(deployment).await?;
    settled.send_replace(true);
    match tokio::time::timeout(WATCHERS_END, all(&mut watchers)).await {
        Ok(ended) => ended?,
        Err(_) => deployment
            .findings
            .violation(format!("a watcher has received no bookmark {WATCHERS_END:?} after the end of all runs")),
    }
    deployment.recorder.record(What::Settled { in_time })?;
    settle::dump(deployment).await?;
    monitoring.shutdown().await;
    settle::close(deployment).await?;
    Ok(())
}

/// Makes the folder, and writes the plan into it.
fn prepare(options: &Options, steps: &[Step]) -> Result<()> {
    let folder = &options.folder;
    fs::create_dir_all(folder.join("logs")).with_context(|| format!("can not make {}", folder.display()))?;
    let output = Command::new(&options.program).arg("--version").output();
    let output = output.with_context(|| format!("can not run {}", options.program.display()))?;
    ensure!(output.status.success(), "{} --version failed", options.program.display());
    let faults = steps.iter().map(|step| Planned {
        after_ms: step.after_ms,
        for_ms: step.for_ms,
        fault: step.fault.class(),
        target: format!("{} {}", step.fault, step.index + 1),
    });
    let plan = Plan {
        seed: options.seed,
        seconds: options.seconds,
        version: String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        faults: faults.collect(),
    };
    write(&folder.join("seed.json"), &serde_json::to_vec_pretty(&plan)?)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("can not write {}", path.display()))
}

/// Waits for all tasks.
async fn all(tasks: &mut JoinSet<Result<()>>) -> Result<()> {
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok(result) => result?,
            Err(error) => bail!("a task of the lab ended: {error}"),
        }
    }
    Ok(())
}
