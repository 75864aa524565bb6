//! A run from its beginning to its end.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use devpg::spawn::{Child, spawn};
use devpg::{Cluster, ClusterOptions, Programs};
use nix::sys::signal::{Signal, kill};
use proto::v1::run_service_client::RunServiceClient;
use proto::v1::session_service_client::SessionServiceClient;
use proto::v1::{CancelRunRequest, CreateSessionRequest, EnqueueRunsRequest, Lane, RunSpec};
use sqlx::{Connection, PgConnection};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};

use super::fleet::{KEPT, Member, Seen};
use super::offer::{Answers, BATCH, Clients};
use super::report::Report;
use crate::lab::logs;

/// Workers that end each run at once, and what each may hold.
const WORKERS: usize = 16;
const SLOTS: i64 = 200;
/// Runs that are kept, to be cancelled one after the other.
const KEPT_RUNS: usize = 100;
/// How long the server is asked for what it can do.
const MEASURE: Duration = Duration::from_secs(5);
/// Between two looks at the server's memory.
const LOOK: Duration = Duration::from_millis(100);
/// How long it may take until the server serves as before.
const PATIENCE: Duration = Duration::from_secs(30);
/// Lines of its log that are told when something was wrong.
const COMPLAINTS: usize = 10;
/// What overload may add to the server's memory: its queues, several times over.
const MEMORY_ALLOWANCE: u64 = 768 << 20;

/// What a run is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long more is offered than the server can do.
    pub seconds: u64,
    /// How many times as much.
    pub times: f64,
    /// Where logs are kept; its folder `logs` is there.
    pub folder: PathBuf,
    /// The program under test.
    pub program: PathBuf,
}

/// Offers too much, and tells what came of it.
///
/// # Errors
///
/// When the run itself fails, so that nothing can be said about the program.
pub async fn run(options: &Options) -> Result<Report> {
    let cluster = ClusterOptions::temporary().setting("fsync", "on").setting("full_page_writes", "on");
    let cluster = Box::pin(Cluster::start(&Programs::find(None)?, cluster)).await?;
    cluster.create_database("ops").await?;
    let url = cluster.tcp_url("ops");
    let server = start(options, &url).await?;
    let address = logs::said(&logs::path(&options.folder, "server"), "listening on ", &server.0).await?;
    let mut report = Box::pin(measure(options, &address, &url, &server.0)).await?;
    drop(server);
    if !report.violations.is_empty() {
        let log = std::fs::read_to_string(logs::path(&options.folder, "server"))?;
        let complaints = log.lines().filter(|line| line.contains("\"WARN\"") || line.contains("\"ERROR\""));
        report.violations.extend(complaints.take(COMPLAINTS).map(|line| format!("the server said {line}")));
    }
    Ok(report)
}

/// The server, which ends with this.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        if self.0.exit.borrow().is_none()
            && let Err(error) = kill(self.0.pid, Signal::SIGKILL)
        {
            tracing::warn!(%error, "the server was not ended");
        }
    }
}

async fn start(options: &Options, database_url: &str) -> Result<Server> {
    let mut command = Command::new(&options.program);
    command.args(["serve", "--listen", "127.0.0.1:0"]).env("OPS_DATABASE_URL", database_url);
    logs::redirect(&mut command, &logs::path(&options.folder, "server"))?;
    Ok(Server(spawn(command, Some(Signal::SIGKILL)).await?))
}

async fn measure(options: &Options, url: &str, database_url: &str, server: &Child) -> Result<Report> {
    let channel = ready(url).await?;
    let session = session(&channel).await?;
    let (seen, mut fleet) = (Arc::new(Seen::default()), JoinSet::new());
    let kept = keep(&channel, &session).await?;
    let (held, mut holds) = watch::channel(0);
    let member = |kind, slots, held| Member { url: url.to_owned(), kind, slots, seen: Arc::clone(&seen), held };
    fleet.spawn(member(KEPT, KEPT_RUNS as i64, held).work());
    for _ in 0..WORKERS {
        fleet.spawn(member(super::fleet::QUICK, SLOTS, watch::channel(0).0).work());
    }
    tokio::time::timeout(PATIENCE, holds.wait_for(|holds| *holds == KEPT_RUNS)).await??;

    let capacity = Clients::connect(url, session).await?.capacity(MEASURE).await;
    let session = self::session(&channel).await?;
    let clients = Clients::connect(url, session.clone()).await?;
    let _before = (seen.heartbeats.take(), seen.reports.take(), seen.ended.swap(0, Ordering::Relaxed));
    let (memory_before, mut memory_highest) = (memory(server)?, 0);
    let (answers, during) = (Arc::new(Answers::default()), Duration::from_secs(options.seconds));
    let begin = Instant::now();
    let mut offering = JoinSet::new();
    {
        let (clients, answers, pace) = (clients.clone(), Arc::clone(&answers), capacity * options.times);
        offering.spawn(async move { clients.offer(pace, during, &answers).await });
    }
    let mut cancelling = JoinSet::new();
    cancelling.spawn(cancel_all(channel.clone(), kept, during, Arc::clone(&seen)));
    let made = loop {
        tokio::select! {
            made = offering.join_next() => break made.context("nothing was offered")??,
            ended = fleet.join_next() => bail!("a worker ended: {ended:?}"),
            () = tokio::time::sleep(LOOK) => memory_highest = memory(server)?.max(memory_highest),
        }
    };
    let seconds = begin.elapsed().as_secs_f64();
    let ended = seen.ended.load(Ordering::Relaxed);
    let recovered = Instant::now();
    let again = Arc::new(Answers::default());
    while again.served.load(Ordering::Relaxed) == 0 {
        ensure!(recovered.elapsed() < PATIENCE, "the server serves nobody after the load");
        clients.offer(1_000.0, Duration::from_millis(10), &again).await;
    }
    let recovered_in = recovered.elapsed();
    let mut violations = Vec::new();
    while let Some(cancelled) = cancelling.join_next().await {
        violations.extend(cancelled?.err().map(|error| format!("a cancel was refused: {error:#}")));
    }
    let runs = |calls: &std::sync::atomic::AtomicU64| calls.load(Ordering::Relaxed) * BATCH as u64;
    judge(&mut violations, &seen, &answers, memory_highest.saturating_sub(memory_before));
    let acknowledged = runs(&answers.served) + runs(&again.served);
    let there = stored(database_url, &session).await?;
    if there < acknowledged {
        violations.push(format!("{acknowledged} runs were acknowledged, {there} are there"));
    }
    Ok(Report {
        capacity: capacity * BATCH as f64,
        seconds,
        offered: made * BATCH as u64,
        served: runs(&answers.served),
        refused: runs(&answers.refused),
        late: runs(&answers.late),
        ended,
        served_in: answers.times.take(),
        refused_in: answers.refusal_times.take(),
        heartbeats: seen.heartbeats.take(),
        reports: seen.reports.take(),
        cancels: seen.cancels.take(),
        memory_before,
        memory_highest,
        recovered_in,
        violations,
    })
}

/// What must not happen in an overload.
fn judge(violations: &mut Vec<String>, seen: &Seen, answers: &Answers, grown: u64) {
    let others = answers.others.lock().unwrap_or_else(PoisonError::into_inner);
    violations.extend(others.iter().map(|(what, times)| format!("{times} calls were answered {what}")));
    if answers.refused.load(Ordering::Relaxed) == 0 {
        violations.push("nothing was refused: it was no overload".to_owned());
    }
    for (number, what) in [
        (&seen.lost, "leases were lost"),
        (&seen.frozen, "heartbeats were answered as frozen"),
        (&seen.refused, "results were refused"),
    ] {
        let number = number.load(Ordering::Relaxed);
        if number > 0 {
            violations.push(format!("{number} {what}"));
        }
    }
    if grown > MEMORY_ALLOWANCE {
        violations.push(format!("the server's memory has grown by {} MiB", grown >> 20));
    }
}

/// Waits until the server serves.
async fn ready(url: &str) -> Result<Channel> {
    let begin = Instant::now();
    loop {
        let channel = Endpoint::from_shared(url.to_owned())?.connect_lazy();
        let mut sessions = SessionServiceClient::new(channel.clone());
        match sessions.list_sessions(proto::v1::ListSessionsRequest::default()).await {
            Ok(_) => return Ok(channel),
            Err(status) if begin.elapsed() > PATIENCE => return Err(status.into()),
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

async fn session(channel: &Channel) -> Result<String> {
    let request = CreateSessionRequest { name: "overload".to_owned(), ..CreateSessionRequest::default() };
    let answer = SessionServiceClient::new(channel.clone()).create_session(request).await?.into_inner();
    Ok(answer.session.context("a session was created without being answered")?.id)
}

/// Enqueues the runs that are kept until they are cancelled.
async fn keep(channel: &Channel, session: &str) -> Result<Vec<String>> {
    let spec = RunSpec {
        session_id: session.to_owned(),
        lane: Lane::A.into(),
        kind: KEPT.to_owned(),
        priority: 1,
        ..RunSpec::default()
    };
    let request = EnqueueRunsRequest { runs: vec![spec; KEPT_RUNS] };
    Ok(RunServiceClient::new(channel.clone()).enqueue_runs(request).await?.into_inner().run_ids)
}

/// Cancels runs one after the other, spread over this time.
async fn cancel_all(channel: Channel, runs: Vec<String>, during: Duration, seen: Arc<Seen>) -> Result<()> {
    let mut ticks = tokio::time::interval(during / (runs.len() as u32 + 1));
    for run_id in runs {
        ticks.tick().await;
        seen.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(run_id.clone(), Instant::now());
        let request = CancelRunRequest { run_id, ..CancelRunRequest::default() };
        RunServiceClient::new(channel.clone()).cancel_run(request).await?;
    }
    Ok(())
}

/// How many runs of the session there are.
async fn stored(database_url: &str, session: &str) -> Result<u64> {
    let mut connection = PgConnection::connect(database_url).await?;
    let statement = "SELECT count(*) FROM ops.runs WHERE session_id = $1::uuid";
    let count: i64 = sqlx::query_scalar(statement).bind(session).fetch_one(&mut connection).await?;
    Ok(u64::try_from(count)?)
}

/// The resident memory of the server, in bytes.
fn memory(server: &Child) -> Result<u64> {
    let status = std::fs::read_to_string(Path::new("/proc").join(server.pid.to_string()).join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("the server has ended")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib << 10)
}
