//! The end of a run: nothing is broken any more, and everything comes to its end.

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

/// How long the runs of half a minute may take to end once nothing is broken; the machine may be busy with others.
const SETTLE: Duration = Duration::from_secs(180);
/// How long a watcher may take for its bookmarks, which come every 5 s, from wherever it has lost its server.
const TOLD: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// How long a process may take to end in order.
const END: Duration = Duration::from_secs(60);

const PARKED: &str = "SELECT id FROM ops.runs WHERE kind = 'parked' AND status = 'queued'";
const OPEN: &str = "SELECT count(*) FROM ops.runs WHERE status NOT IN ('succeeded', 'failed', 'cancelled')";
/// What a session that was closed comes to, once its runs have ended.
const OPEN_SESSIONS: &str = "SELECT count(*) FROM ops.sessions WHERE closed_at IS NOT NULL AND status = 'active'";
/// Runs that can be claimed and are not in the queue, or the reverse, and runs that are held and no lease is looked after.
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
/// Workers report a run when its log is kept: what its last attempt wrote must be there.
const UNLOGGED: &str = "SELECT r.id FROM ops.runs r \
     WHERE r.status = 'succeeded' AND r.claimed_by ~ '^w[0-9]' AND (r.params ->> 'logs')::bigint <> \
           (SELECT count(*) FROM ops.run_events e WHERE e.run_id = r.id AND e.fence = r.fence)";

/// Commits late what nobody executes, and waits until every watcher must have been told of it; then it is cancelled.
pub(super) async fn late_commits(
    deployment: &Deployment,
    known: &Known,
    mut bookmarks: Vec<watch::Receiver<u64>>,
) -> Result<()> {
    // Who has to find its server again first proves nothing about what it missed.
    told(deployment, &mut bookmarks, 1).await;
    let recorder = Recorder::create(&deployment.folder, "late")?;
    parked::enqueue_late(&deployment.database.url(), known, &recorder).await?;
    // The first may have been on its way already.
    told(deployment, &mut bookmarks, 2).await;
    let mut connection = deployment.database.connect().await?;
    let runs: Vec<Uuid> = sqlx::query_scalar(PARKED).fetch_all(&mut connection).await?;
    for run in &runs {
        deployment.recorder.record(What::WatchDue { run: *run })?;
    }
    parked::cancel_all(deployment.caller("lab")?, &runs).await
}

/// Waits until each watcher has had so many more bookmarks.
async fn told(deployment: &Deployment, bookmarks: &mut [watch::Receiver<u64>], more: u64) {
    for bookmarks in bookmarks {
        let wanted = *bookmarks.borrow() + more;
        if timeout(TOLD, bookmarks.wait_for(|count| *count >= wanted)).await.is_err() {
            deployment
                .findings
                .violation(format!("a watcher has had no {more} bookmarks within {TOLD:?}, with nothing broken"));
        }
    }
}

/// Waits until every run has ended, and says whether that came in time.
pub(super) async fn settle(deployment: &Deployment) -> Result<bool> {
    let begin = Instant::now();
    let mut connection = deployment.database.connect().await?;
    loop {
        for run in sqlx::query_scalar::<_, Uuid>(ASTRAY).fetch_all(&mut connection).await? {
            deployment
                .findings
                .violation(format!("run {run} is not where its status says: in the queue, or among the leases"));
        }
        let open: i64 = sqlx::query_scalar(OPEN).fetch_one(&mut connection).await?;
        let sessions: i64 = sqlx::query_scalar(OPEN_SESSIONS).fetch_one(&mut connection).await?;
        if open == 0 && sessions == 0 {
            deployment.findings.most("settled after ms", u64::try_from(begin.elapsed().as_millis())?);
            return Ok(true);
        }
        if begin.elapsed() > SETTLE {
            let what =
                format!("{open} runs and {sessions} closed sessions have not ended {SETTLE:?} after the last fault");
            deployment.findings.violation(what);
            return Ok(open == 0);
        }
        sleep(LOOK).await;
    }
}

/// Writes down the database as it is, and looks at what needs no history.
pub(super) async fn dump(deployment: &Deployment) -> Result<()> {
    let mut connection = deployment.database.connect().await?;
    for run in sqlx::query_scalar::<_, Uuid>(UNLOGGED).fetch_all(&mut connection).await? {
        deployment.findings.violation(format!("run {run} has succeeded, and its log is not what its handler wrote"));
    }
    let text: String = sqlx::query_scalar(AssertSqlSafe(DUMP)).fetch_one(&mut connection).await?;
    let path = deployment.folder.join("final.json");
    fs::write(&path, text).with_context(|| format!("can not write {}", path.display()))
}

/// Ends all processes in order, which they do when asked.
pub(super) async fn close(deployment: &Deployment) -> Result<()> {
    for worker in &deployment.workers {
        if !worker.down(Signal::SIGTERM, END).await {
            deployment.findings.violation(format!("a worker did not end within {END:?} of being asked"));
        }
    }
    for server in &deployment.servers {
        if !server.supervisor.down(Signal::SIGTERM, END).await {
            deployment.findings.violation(format!("{} did not end within {END:?} of being asked", server.name));
        }
    }
    deployment.database.cluster.stop().await?;
    Ok(())
}

/// Keeps what PostgreSQL has said, which is gone with its cluster.
pub(super) fn keep_log(deployment: &Deployment) -> Result<()> {
    let log = fs::read(deployment.database.cluster.log_path())?;
    Ok(fs::write(deployment.folder.join("logs/postgres.log"), log)?)
}

/// Everything is as it was before the first fault.
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
