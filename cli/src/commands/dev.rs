//! `ops dev`: a database, a server and a worker in one process. They stop in reverse order: first the worker, which
//! reports its runs to the server; the database last.

use std::{future::pending, path::Path, time::Duration};

use anyhow::{Context, Error, Result, anyhow, bail};
use devpg::{Cluster, ClusterOptions, DevpgError, Programs};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinError, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use worker::{Worker, WorkerError, WorkerStatus, WorkerSummary};

use super::listener;
use crate::{
    args::{dev::DevArgs, target::ServerAddress},
    demo,
    exit::Exit,
    output,
    signals::Signals,
};

/// The name of the database in the cluster.
const DATABASE: &str = "ops";
/// PostgreSQL's code for a database that already exists.
const DUPLICATE_DATABASE: &str = "42P04";
/// The time limit for the worker's connection. The server is ready and on this machine.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);

pub(crate) async fn execute(args: DevArgs) -> Result<Exit> {
    let address = args.listen.address()?;
    let programs = Programs::find(args.pg_bin.as_deref())?;
    let signals = Signals::listen()?;
    let listener = listener::bind(address, "--listen").await?;
    output::tell(format_args!("starting PostgreSQL of {}", programs.bin().display()));
    let options = ClusterOptions::in_folder(&args.data_dir);
    let cluster = tokio::select! {
        started = Box::pin(Cluster::start(&programs, options)) => started?,
        () = signals.first().cancelled() => return Ok(Exit::Success),
    };
    let done = Box::pin(serve(&args, &programs, &cluster, listener, &signals)).await;
    // The cluster stops in order, also after an error.
    let stopped = cluster.stop().await;
    done?;
    stopped?;
    Ok(Exit::Success)
}

/// Runs server and worker on the database until the first signal, or with `--once` until the demonstration has ended.
async fn serve(
    args: &DevArgs,
    programs: &Programs,
    cluster: &Cluster,
    listener: TcpListener,
    signals: &Signals,
) -> Result<()> {
    let address: ServerAddress =
        listener::reachable(listener.local_addr()?).to_string().parse().map_err(|error: String| anyhow!(error))?;
    let worker = args.worker(&address)?;
    let config = server::Config::new(database(cluster).await?);
    server::migrate(&config).await.context("can not bring the database to this version's schema")?;

    let (server_stop, worker_stop) = (CancellationToken::new(), CancellationToken::new());
    let status = worker.subscribe();
    let mut server_task = JoinSet::new();
    server_task.spawn(server::run(listener, config, server_stop.clone()));
    let mut worker_task = JoinSet::new();
    worker_task.spawn(run_worker(worker, worker_stop.clone()));

    let done = tokio::select! {
        done = Box::pin(act(args, programs, cluster, &address, status)) => done,
        failure = server_failure(&mut server_task) => Err(failure),
        failure = worker_failure(&mut worker_task) => Err(failure),
        () = cluster.exited() => Err(anyhow!("PostgreSQL ended by itself; its log is {}", cluster.log_path().display())),
        () = signals.first().cancelled() => interrupted(args),
    };

    worker_stop.cancel();
    let worker_done = match worker_task.join_next().await {
        Some(ended) => summarize(ended),
        // An operator drained it, and its summary is already printed.
        None => Ok(()),
    };
    server_stop.cancel();
    let server_done = match server_task.join_next().await {
        Some(ended) => ended.map_err(Error::from).and_then(|ended| ended.map_err(Error::from)),
        None => Ok(()),
    };
    done.and(worker_done).and(server_done)
}

/// The work while server and worker run: prints the banner when all is ready, then runs the demonstration.
async fn act(
    args: &DevArgs,
    programs: &Programs,
    cluster: &Cluster,
    address: &ServerAddress,
    mut status: watch::Receiver<WorkerStatus>,
) -> Result<()> {
    let connected = timeout(CONNECT_LIMIT, status.wait_for(|status| status.is_connected)).await;
    connected
        .context("the worker could not connect to the server")?
        .context("the worker ended before it was connected")?;
    output::print(banner(programs, cluster, address, args)?)?;
    if args.demo {
        demo::perform(address, args.slots.get()).await.context("the demonstration failed")?;
    }
    if args.once { Ok(()) } else { pending().await }
}

fn banner(programs: &Programs, cluster: &Cluster, address: &ServerAddress, args: &DevArgs) -> Result<String> {
    let version = programs.major_version()?;
    Ok(format!(
        "ops {} is ready\n\n  server    {address}\n  worker    {} slots, lanes A B C D, kinds http, shell and sleep\n  database  PostgreSQL \
         {version}, data in {}\n            psql '{}'\n\nCtrl-C stops all of it; the data stays.\n",
        env!("CARGO_PKG_VERSION"),
        args.slots,
        shown(cluster.home()),
        cluster.url(DATABASE),
    ))
}

fn shown(path: &Path) -> String {
    path.canonicalize().unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// The URL of the database. The first start creates it.
async fn database(cluster: &Cluster) -> Result<String> {
    match cluster.create_database(DATABASE).await {
        Err(DevpgError::Database { source, .. })
            if source
                .as_database_error()
                .and_then(|error| error.code())
                .is_some_and(|code| code == DUPLICATE_DATABASE) => {}
        made => made?,
    }
    Ok(cluster.url(DATABASE))
}

async fn run_worker(worker: Worker, stop: CancellationToken) -> Result<WorkerSummary, WorkerError> {
    Box::pin(worker.run(stop)).await
}

/// The error of a server that ended although nobody stopped it.
async fn server_failure<E>(task: &mut JoinSet<Result<(), E>>) -> Error
where
    E: std::error::Error + Send + Sync + 'static,
{
    match task.join_next().await {
        Some(Ok(Err(error))) => Error::from(error).context("the server failed"),
        Some(Err(error)) => Error::from(error).context("the server failed"),
        Some(Ok(Ok(()))) | None => anyhow!("the server ended by itself"),
    }
}

/// The error of a worker that failed. A worker that an operator drained is no error.
async fn worker_failure(task: &mut JoinSet<Result<WorkerSummary, WorkerError>>) -> Error {
    match task.join_next().await {
        Some(ended) => match summarize(ended) {
            Ok(()) => pending().await,
            Err(error) => error,
        },
        None => pending().await,
    }
}

/// Prints the summary of a worker that has ended.
fn summarize(ended: Result<Result<WorkerSummary, WorkerError>, JoinError>) -> Result<()> {
    let done = ended.context("the worker failed")?.context("the worker failed")?;
    output::tell(super::worker::summary(&done));
    Ok(())
}

fn interrupted(args: &DevArgs) -> Result<()> {
    if args.once {
        bail!("the demonstration was interrupted");
    }
    Ok(())
}
