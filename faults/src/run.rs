//! Runs a lab, a campaign of labs, or a worker of a lab, until it ends or a signal stops it.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::process::ExitCode;

use anyhow::{Result, bail};
use faults::campaign;
use faults::lab::{self, Options};
use faults::workload::work;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::args::CampaignArgs;

/// Injects the faults of a seed. The folder stays if a promise was broken.
pub(crate) fn run(options: &Options, is_kept: bool) -> Result<ExitCode> {
    start_log("faults=info,devpg=warn");
    if let Err(errno) = lab::own_mounts() {
        tracing::warn!(%errno, "the process has no private mounts");
    }
    println!("seed {}, in {}", options.seed, options.folder.display());
    let report = runtime()?.block_on(async {
        let asked = asked_to_end()?;
        tokio::select! {
            report = Box::pin(lab::run(options)) => report,
            () = asked.cancelled() => bail!("a signal ended it"),
        }
    })?;
    print!("{report}");
    if !report.is_good() {
        return Ok(ExitCode::FAILURE);
    }
    if !is_kept {
        fs::remove_dir_all(&options.folder)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs many seeds, each in a process of its own.
pub(crate) fn campaign(args: CampaignArgs) -> Result<ExitCode> {
    let CampaignArgs { seeds, parallel, first_seed, seconds, keep_failed, arguments } = args;
    let folder = match keep_failed {
        Some(folder) => folder,
        // PostgreSQL does not run as root, and has to enter it.
        None => tempfile::Builder::new().prefix("faults-").permissions(Permissions::from_mode(0o755)).tempdir()?.keep(),
    };
    let seeds = campaign::seeds(seeds, first_seed);
    let program = std::env::current_exe()?;
    let options = campaign::Options { program, arguments, seeds, parallel, seconds, folder };
    let summary = runtime()?.block_on(async {
        let asked = asked_to_end()?;
        tokio::select! {
            summary = campaign::run(options, |end| println!("{end}")) => summary,
            () = asked.cancelled() => bail!("a signal ended it"),
        }
    })?;
    print!("{summary}");
    Ok(match (summary.is_good(), summary.is_broken()) {
        (true, _) => ExitCode::SUCCESS,
        (false, true) => ExitCode::FAILURE,
        (false, false) => ExitCode::from(2),
    })
}

/// Runs as a worker of a lab.
pub(crate) fn worker(options: work::Options) -> Result<ExitCode> {
    start_log("info");
    runtime()?.block_on(async {
        let asked = asked_to_end()?;
        Box::pin(work::work(options, asked)).await
    })?;
    Ok(ExitCode::SUCCESS)
}

fn start_log(usual: &str) {
    let filter = EnvFilter::try_from_env("FAULTS_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false).init();
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    // This fails only if a provider is installed already, and none is.
    let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// A token that SIGTERM or Ctrl-C cancels.
fn asked_to_end() -> Result<CancellationToken> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let asked = CancellationToken::new();
    let cancelled = asked.clone();
    let mut listening = JoinSet::new();
    listening.spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        cancelled.cancel();
    });
    listening.detach_all();
    Ok(asked)
}
