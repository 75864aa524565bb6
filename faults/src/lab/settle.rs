//! The end of a run: all faults are over, and all runs end.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use sqlx::AssertSqlSafe;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::deployment::Deployment;
use crate::history::{DUMP, Recorder, What};
use crate::workload::{Known, parked};

/// How long the runs of half a minute may take to end after the faults, on a busy machine.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(180);
/// How long a watcher may take for its bookmarks, which come every 5 s, even if it has to find a server first.
const BOOKMARK_TIMEOUT: Duration = Duration::from_secs(60);
/// The interval of checks.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// How long a process may take to shut down.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(60);

const PARKED: &str = "SELECT id FROM ops.runs WHERE kind = 'parked' AND status = 'queued'";
const OPEN: &str = "SELECT count(*) FROM ops.runs WHERE status NOT IN ('succeeded', 'failed', 'cancelled')";
/// A closed session completes once its runs have ended.
const OPEN_SESSIONS: &str = "SELECT count(*) FROM ops.sessions WHERE closed_at IS NOT NULL AND status = 'active'";
/// Runs that can be claimed but are not in the queue, the reverse, and claimed runs without a lease.
const ASTRAY: &str = "SELECT coalesce(q.run_id, r.id) \
     FROM (SELECT * FROM ops.runs WHERE status = 'queued' AND wait_reason IS NULL) r \
     FULL JOIN ops.run_queue q \
       ON (q.tenant_id, q.lane, q.kind, q.priority, q.run_after, q.run_id, q.fence) \
        = (r.tenant_id, r.lane, r.kind, r.priority, r.run_after, r.id, r.fence) \
     WHERE q.run_id IS NULL OR r.id IS NULL \
     UNION ALL \
     SELECT r.id FROM ops.runs r \
     WHERE r.status IN ('claimed', 'running') \
       AND NOT EXISTS (SELECT FROM ops.run_leases l WHERE l.worker_id = r.worker_id AND r.id = ANY (l.run_ids))";
/// Workers report a run after its log is stored, so the log of its last attempt must be complete.
const UNLOGGED: &str = "SELECT r.id FROM ops.runs r \
     WHERE r.status = 'succeeded' AND r.claimed_by ~ '^w[0-9]' AND (r.params ->> 'logs')::bigint <> \
           (SELECT count(*) FROM ops.run_events e WHERE e.run_id = r.id AND e.fence = r.fence)";

/// Commits runs late that no worker executes, waits until every watcher must have seen them, and cancels them.
pub(super) async fn late_commits(
    deployment: &Deployment,
    known: &Known,
    mut bookmarks: Vec<watch::Receiver<u64>>,
) -> Result<()> {
    // A watcher that still has to find a server proves nothing about what it missed.
    received(deployment, &mut bookmarks, 1).await;
    let recorder = Recorder::create(&deployment.folder, "late")?;
    parked::enqueue_late(&deployment.database.url(), known, &recorder).await?;
    // The first bookmark may have been sent before the commits.
    received(deployment, &mut bookmarks, 2).await;
    let mut connection = deployment.database.connect().await?;
    let runs: Vec<Uuid> = sqlx::query_scalar(PARKED).fetch_all(&mut connection).await?;
    for run in &runs {
        deployment.recorder.record(What::WatchDue { run: *run })?;
    }
    parked::cancel_all(deployment.caller("lab")?, &runs).await
}

/// Waits until each watcher has received this many more bookmarks.
async fn received(deployment: &Deployment, bookmarks: &mut [watch::Receiver<u64>], more: u64) {
    for bookmarks in bookmarks {
        let wanted = *bookmarks.borrow() + more;
        if timeout(BOOKMARK_TIMEOUT, bookmarks.wait_for(|count| *count >= wanted)).await.is_err() {
            deployment.findings.violation(format!(
                "a watcher has not received {more} bookmarks within {BOOKMARK_TIMEOUT:?} without faults"
            ));
        }
    }
}

/// Waits until every run has ended. Returns whether that was in time.
pub(super) async fn settle(deployment: &Deployment) -> Result<bool> {
    let begin = Instant::now();
    let mut connection = deployment.database.connect().await?;
    loop {
        for run in sqlx::query_scalar::<_, Uuid>(ASTRAY).fetch_all(&mut connection).await? {
            deployment.findings.violation(format!("run {run} does not match the queue or the leases"));
        }
        let open: i64 = sqlx::query_scalar(OPEN).fetch_one(&mut connection).await?;
        let sessions: i64 = sqlx::query_scalar(OPEN_SESSIONS).fetch_one(&mut connection).await?;
        if open == 0 && sessions == 0 {
            deployment.findings.most("settled after ms", u64::try_from(begin.elapsed().as_millis())?);
            return Ok(true);
        }
        if begin.elapsed() > SETTLE_TIMEOUT {
            let what = format!(
                "{open} runs and {sessions} closed sessions have not ended {SETTLE_TIMEOUT:?} after the last fault"
            );
            deployment.findings.violation(what);
            return Ok(open == 0);
        }
        sleep(CHECK_INTERVAL).await;
    }
}

/// Stores the final state of the database, and checks the logs of runs, which needs no history.
pub(super) async fn dump(deployment: &Deployment) -> Result<()> {
    let mut connection = deployment.database.connect().await?;
    for run in sqlx::query_scalar::<_, Uuid>(UNLOGGED).fetch_all(&mut connection).await? {
        deployment.findings.violation(format!("run {run} has succeeded, and its log is not what its handler wrote"));
    }
    let text: String = sqlx::query_scalar(AssertSqlSafe(DUMP)).fetch_one(&mut connection).await?;
    let path = deployment.folder.join("final.json");
    fs::write(&path, text).with_context(|| format!("can not write {}", path.display()))
}

/// Shuts all processes down. A process that does not shut down in time is a violation.
pub(super) async fn close(deployment: &Deployment) -> Result<()> {
    for worker in &deployment.workers {
        if !worker.down(Signal::SIGTERM, SHUTDOWN_TIMEOUT).await {
            deployment.findings.violation(format!("a worker did not shut down within {SHUTDOWN_TIMEOUT:?}"));
        }
    }
    for server in &deployment.servers {
        if !server.supervisor.down(Signal::SIGTERM, SHUTDOWN_TIMEOUT).await {
            deployment.findings.violation(format!("{} did not shut down within {SHUTDOWN_TIMEOUT:?}", server.name));
        }
    }
    deployment.database.cluster.stop().await?;
    Ok(())
}

/// Copies the log of PostgreSQL, which is removed with its cluster.
pub(super) fn keep_log(deployment: &Deployment) -> Result<()> {
    let log = fs::read(deployment.database.cluster.log_path())?;
    Ok(fs::write(deployment.folder.join("logs/postgres.log"), log)?)
}

/// Starts every process that is down.
pub(super) async fn restore(deployment: &Deployment) -> Result<()> {
    for server in &deployment.servers {
        server.supervisor.up().await;
    }
    for worker in &deployment.workers {
        worker.up().await;
    }
    deployment.recorder.record(What::Quiet)?;
    Ok(())
}
