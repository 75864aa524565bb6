//! An overload from its start to its report.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use client::Client;
use devpg::{Cluster, ClusterOptions, Programs};
use proto::v1::{CancelRunRequest, CreateSessionRequest, EnqueueRunsRequest, Lane, RunSpec};
use sqlx::{Connection, PgConnection};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::callers::{Answers, BATCH, Callers};
use super::report::Report;
use super::worker::{KEPT, QUICK, Seen, Worker};
use crate::server::Server;

/// Workers that end each run at once, and their slots.
const WORKERS: usize = 16;
const SLOTS: i64 = 200;
/// Runs that are kept, and cancelled one after the other.
const KEPT_RUNS: usize = 100;
/// How long the capacity is measured.
const MEASURE: Duration = Duration::from_secs(5);
/// The interval at which the server's memory is read.
const MEMORY_INTERVAL: Duration = Duration::from_millis(100);
/// The longest time until the server serves again.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(30);
/// The most lines of the server's log in a report with violations.
const LOG_LINES: usize = 10;
/// The most that an overload may add to the server's memory: several times the size of its queues.
const MEMORY_ALLOWANCE: f64 = (768 << 20) as f64;

/// The options of the measurement.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long the load lasts.
    pub seconds: u64,
    /// The load as a multiple of the capacity.
    pub times: f64,
    /// The program under test.
    pub program: PathBuf,
}

/// Overloads a server, and checks that it keeps its promises.
///
/// # Errors
///
/// The measurement itself fails. The program may still be correct.
pub async fn run(options: &Options) -> Result<Report> {
    let cluster = ClusterOptions::temporary().setting("fsync", "on").setting("full_page_writes", "on");
    let cluster = Box::pin(Cluster::start(&Programs::find(None)?, cluster)).await?;
    cluster.create_database("ops").await?;
    let url = cluster.tcp_url("ops");
    let logs = tempfile::tempdir()?;
    let log = logs.path().join("server.log");
    let server = Server::start(&options.program, &url, log.clone()).await?;
    let mut report = Box::pin(measure(options, &url, &server)).await?;
    drop(server);
    if !report.violations.is_empty() {
        report.violations.extend(complaints(&log)?);
    }
    Ok(report)
}

/// The first warnings and errors of a server.
fn complaints(log: &Path) -> Result<Vec<String>> {
    let log = std::fs::read_to_string(log)?;
    let lines = log.lines().filter(|line| line.contains("\"WARN\"") || line.contains("\"ERROR\""));
    Ok(lines.take(LOG_LINES).map(|line| format!("the server logged {line}")).collect())
}

async fn measure(options: &Options, database_url: &str, server: &Server) -> Result<Report> {
    let client = server.connect().await?;
    let session = session(&client).await?;
    let (seen, mut workers) = (Arc::new(Seen::default()), JoinSet::new());
    let kept = keep(&client, &session).await?;
    let (held, mut holds) = watch::channel(0);
    let worker = |client, kind, slots, held| Worker { client, kind, slots, seen: Arc::clone(&seen), held };
    workers.spawn(worker(server.connect().await?, KEPT, KEPT_RUNS as i64, held).work());
    for _ in 0..WORKERS {
        workers.spawn(worker(server.connect().await?, QUICK, SLOTS, watch::channel(0).0).work());
    }
    tokio::time::timeout(RECOVERY_TIMEOUT, holds.wait_for(|holds| *holds == KEPT_RUNS)).await??;

    let capacity = Callers::connect(server, session).await?.capacity(MEASURE).await;
    // A new session, so that it has only the runs of the load.
    let session = self::session(&client).await?;
    let callers = Callers::connect(server, session.clone()).await?;
    seen.heartbeat_times.clear();
    seen.report_times.clear();
    seen.ended.store(0, Ordering::Relaxed);
    let (memory_before, mut memory_highest) = (server.memory()?, 0.0_f64);
    let (answers, during) = (Arc::new(Answers::default()), Duration::from_secs(options.seconds));
    let begin = Instant::now();
    let mut offering = JoinSet::new();
    {
        let (callers, answers, rate) = (callers.clone(), Arc::clone(&answers), capacity * options.times);
        offering.spawn(async move { callers.offer(rate, during, &answers).await });
    }
    let mut cancelling = JoinSet::new();
    cancelling.spawn(cancel_all(client.clone(), kept, during, Arc::clone(&seen)));
    let made = loop {
        tokio::select! {
            made = offering.join_next() => break made.context("nothing was offered")??,
            ended = workers.join_next() => bail!("a worker ended: {ended:?}"),
            () = tokio::time::sleep(MEMORY_INTERVAL) => memory_highest = server.memory()?.max(memory_highest),
        }
    };
    let seconds = begin.elapsed().as_secs_f64();
    let ended = seen.ended.load(Ordering::Relaxed);
    let load_end = Instant::now();
    let again = Arc::new(Answers::default());
    while again.served.load(Ordering::Relaxed) == 0 {
        ensure!(load_end.elapsed() < RECOVERY_TIMEOUT, "the server serves no call after the load");
        callers.offer(1_000.0, Duration::from_millis(10), &again).await;
    }
    let recovered_in = load_end.elapsed();
    let mut violations = Vec::new();
    while let Some(cancelled) = cancelling.join_next().await {
        violations.extend(cancelled?.err().map(|error| format!("a cancel was refused: {error:#}")));
    }
    let runs = |calls: &AtomicU64| calls.load(Ordering::Relaxed) * BATCH as u64;
    judge(&mut violations, &seen, &answers, memory_highest - memory_before);
    let acknowledged = runs(&answers.served) + runs(&again.served);
    let stored = stored(database_url, &session).await?;
    if stored < acknowledged {
        violations.push(format!("{acknowledged} runs were acknowledged, {stored} exist"));
    }
    Ok(Report {
        capacity: capacity * BATCH as f64,
        seconds,
        offered: made * BATCH as u64,
        served: runs(&answers.served),
        refused: runs(&answers.refused),
        late: runs(&answers.late),
        ended,
        answers,
        seen,
        memory_before,
        memory_highest,
        recovered_in,
        violations,
    })
}

/// Adds the violations: events that must not happen in an overload.
fn judge(violations: &mut Vec<String>, seen: &Seen, answers: &Answers, grown: f64) {
    let others = answers.others.lock().unwrap_or_else(PoisonError::into_inner);
    violations.extend(others.iter().map(|(answer, times)| format!("{times} calls were answered {answer}")));
    if answers.refused.load(Ordering::Relaxed) == 0 {
        violations.push("nothing was refused: it was no overload".to_owned());
    }
    for (number, what) in [
        (&seen.lost, "grants were lost"),
        (&seen.frozen, "heartbeats were answered as frozen"),
        (&seen.refused, "results were refused"),
    ] {
        let number = number.load(Ordering::Relaxed);
        if number > 0 {
            violations.push(format!("{number} {what}"));
        }
    }
    if grown > MEMORY_ALLOWANCE {
        violations.push(format!("the server's memory has grown by {:.0} MiB", grown / f64::from(1 << 20)));
    }
}

async fn session(client: &Client) -> Result<String> {
    let request = CreateSessionRequest { name: "overload".to_owned(), ..CreateSessionRequest::default() };
    let answer = client.sessions().create_session(request).await?.into_inner();
    Ok(answer.session.context("an answer without a session")?.id)
}

/// Enqueues the runs that are kept until they are cancelled.
async fn keep(client: &Client, session: &str) -> Result<Vec<String>> {
    let spec = RunSpec {
        session_id: session.to_owned(),
        lane: Lane::A.into(),
        kind: KEPT.to_owned(),
        priority: 1,
        ..RunSpec::default()
    };
    let request = EnqueueRunsRequest { runs: vec![spec; KEPT_RUNS] };
    Ok(client.runs().enqueue_runs(request).await?.into_inner().run_ids)
}

/// Cancels runs one after the other, spread over this time.
async fn cancel_all(client: Client, runs: Vec<String>, during: Duration, seen: Arc<Seen>) -> Result<()> {
    let mut ticks = tokio::time::interval(during / (runs.len() as u32 + 1));
    for run_id in runs {
        ticks.tick().await;
        seen.cancelled.lock().unwrap_or_else(PoisonError::into_inner).insert(run_id.clone(), Instant::now());
        let request = CancelRunRequest { run_id, ..CancelRunRequest::default() };
        client.runs().cancel_run(request).await?;
    }
    Ok(())
}

/// The number of runs of a session.
async fn stored(database_url: &str, session: &str) -> Result<u64> {
    let mut connection = PgConnection::connect(database_url).await?;
    let statement = "SELECT count(*) FROM ops.runs WHERE session_id = $1::uuid";
    let count: i64 = sqlx::query_scalar(statement).bind(session).fetch_one(&mut connection).await?;
    Ok(u64::try_from(count)?)
}
