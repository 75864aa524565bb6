//! The beginning and the end of grants: starts and reports of all streams, in batches.
//!
//! A start that waits for the same batch as its report needs no write of its own: the report carries it.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::EngineError;
use crate::batch::batcher::{Abandoned, BatchBounds, BatchRequest, Batcher, batches};
use crate::batch::foreign_locks::{LockedRows, Locks};
use crate::batch::halving::halve;
use crate::db::{Db, StoreError};
use crate::domain::weight::Weight;
use crate::domain::{GrantKey, Outcome, Refusal, RunStatus};
use crate::store::effects::Effects;
use crate::store::run::guard::Guard;
use crate::store::run::lock::run_lock_in_tx;
use crate::store::run::report::{Begin, GrantReport, ReportVerdict, run_begin_in_tx, run_report_in_tx};
use crate::telemetry::{Metrics, spans};
use crate::wakeups::Wakeups;

/// Starts and reports that may wait: two for each of as many runs as a replica's workers hold.
const BOUNDS: BatchBounds = BatchBounds {
    waiting: 20_000,
    waiting_items: 20_000,
    waiting_bytes: 64 << 20,
    items: 500,
    bytes: 8 << 20,
    abandoned: Abandoned::CarryOut,
};

/// The start or the end of a grant.
#[derive(Debug, Clone)]
pub enum GrantNews {
    /// The worker was ordered to start.
    Begun { guard: Guard, at: Instant },
    /// The worker reports how it ended. It started `started_ago` before `at`.
    Ended { guard: Guard, outcome: Arc<Outcome>, started_ago: Duration, at: Instant },
}

impl GrantNews {
    fn grant(&self) -> GrantKey {
        match self {
            GrantNews::Begun { guard, .. } | GrantNews::Ended { guard, .. } => guard.grant,
        }
    }

    /// When a report was submitted.
    fn ended_at(&self) -> Option<Instant> {
        match self {
            GrantNews::Begun { .. } => None,
            GrantNews::Ended { at, .. } => Some(*at),
        }
    }
}

/// The starts and reports of one frame, or of one call.
impl BatchRequest for Vec<GrantNews> {
    fn items(&self) -> usize {
        self.len()
    }
}

impl Weight for GrantNews {
    fn weight(&self) -> usize {
        match self {
            GrantNews::Begun { .. } => 0,
            GrantNews::Ended { outcome, .. } => outcome.weight(),
        }
    }
}

/// The result of one start or report.
type Verdict = Result<ReportVerdict, EngineError>;

/// Where starts and reports are submitted.
#[derive(Debug, Clone)]
pub struct Results {
    batches: Batcher<Vec<GrantNews>, Vec<Verdict>>,
}

impl Results {
    /// The handle and its loop.
    pub fn new(
        db: Db,
        wakeups: Wakeups,
        metrics: &Metrics,
        closing: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (counted, locked) = (metrics.clone(), Arc::new(LockedRows::new(db.clone(), Locks::Runs)));
        let work = move |frames: Vec<Vec<GrantNews>>| {
            let (db, wakeups, metrics, locked) = (db.clone(), wakeups.clone(), counted.clone(), locked.clone());
            async move {
                let sizes: Vec<usize> = frames.iter().map(Vec::len).collect();
                let news = frames.into_iter().flatten().collect();
                let verdicts =
                    halve(news, |news| write_free(db.clone(), wakeups.clone(), metrics.clone(), &locked, news)).await;
                let mut verdicts = verdicts.into_iter().map(Result::flatten);
                sizes.into_iter().map(|size| Ok(verdicts.by_ref().take(size).collect())).collect()
            }
        };
        let (batches, run) = batches(BOUNDS, closing, metrics.measured("results", work));
        (Self { batches }, run)
    }

    /// Submits starts and reports together. Each gets its own answer, in order. A start fails with `LeaseLost` if its grant has ended. A
    /// repeated report gets the first answer, and a different one is refused.
    pub async fn submit(&self, news: Vec<GrantNews>) -> Vec<Result<(), EngineError>> {
        let grants: Vec<GrantKey> = news.iter().map(GrantNews::grant).collect();
        match self.batches.submit(news).await {
            Ok(verdicts) => grants.into_iter().zip(verdicts).map(|(grant, verdict)| answer(grant, verdict)).collect(),
            Err(error) => grants.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    /// Reports the end of one grant whose claim also began it.
    pub async fn report(&self, guard: Guard, outcome: Arc<Outcome>) -> Result<(), EngineError> {
        let ended = GrantNews::Ended { guard, outcome, started_ago: Duration::ZERO, at: Instant::now() };
        self.submit(vec![ended]).await.pop().unwrap_or(Err(EngineError::ShuttingDown))
    }

    /// Whether starts or reports wait or are written now, or a batch ended within this time.
    pub fn is_busy(&self, within: Duration) -> bool {
        self.batches.is_busy(within)
    }
}

fn answer(grant: GrantKey, verdict: Verdict) -> Result<(), EngineError> {
    let GrantKey { run_id, fence } = grant;
    match verdict? {
        ReportVerdict::Accepted(_) => Ok(()),
        ReportVerdict::Conflict => Err(Refusal::OutcomeConflict { run_id, fence }.into()),
        ReportVerdict::LeaseLost => Err(Refusal::LeaseLost { run_id, fence }.into()),
    }
}

/// Writes the starts and reports whose runs no other transaction has locked. The others fail with `LockTimeout`, and are tried again.
async fn write_free(
    db: Db,
    wakeups: Wakeups,
    metrics: Metrics,
    locked: &LockedRows,
    news: Arc<[GrantNews]>,
) -> Result<Vec<Verdict>, StoreError> {
    let run = |item: &GrantNews| [item.grant().run_id];
    locked.around_each(news, run, |free| batch(db.clone(), wakeups.clone(), metrics.clone(), free)).await
}

/// Writes one batch and commits it. Returns the verdict of each item.
async fn batch(
    db: Db,
    wakeups: Wakeups,
    metrics: Metrics,
    news: Arc<[GrantNews]>,
) -> Result<Vec<ReportVerdict>, StoreError> {
    let now = Instant::now();
    let mut reports: Vec<(usize, GrantReport)> = Vec::new();
    let mut again: Vec<usize> = Vec::new();
    let mut reported: HashSet<Uuid> = HashSet::new();
    for (index, item) in news.iter().enumerate() {
        if let GrantNews::Ended { guard, outcome, started_ago, at } = item {
            // A second report for the same run is judged after the first one is written.
            if !reported.insert(guard.grant.run_id) {
                again.push(index);
                continue;
            }
            let started_ago = *started_ago + now.saturating_duration_since(*at);
            reports.push((index, GrantReport { guard: *guard, outcome: outcome.as_ref().clone(), started_ago }));
        }
    }
    let carried: HashSet<Guard> = reports.iter().map(|(_, report)| report.guard).collect();
    let mut begins: Vec<(usize, Begin)> = Vec::new();
    for (index, item) in news.iter().enumerate() {
        if let GrantNews::Begun { guard, at } = item
            && !carried.contains(guard)
        {
            begins.push((index, Begin { guard: *guard, started_ago: now.saturating_duration_since(*at) }));
        }
    }
    reports.sort_by_key(|(_, report)| report.guard.grant);
    begins.sort_by_key(|(_, begin)| begin.guard.grant);

    // A start that its report carries is answered as accepted. If the report is refused, the answer to the report says so.
    let mut verdicts = vec![ReportVerdict::Accepted(None); news.len()];
    let begin_rows: Vec<Begin> = begins.iter().map(|(_, begin)| *begin).collect();
    let report_rows: Vec<GrantReport> = reports.iter().map(|(_, report)| report.clone()).collect();
    let written = db.transaction((begin_rows, report_rows), |c, (begins, reports)| {
        async move {
            if !begins.is_empty() && !reports.is_empty() {
                let begun = begins.iter().map(|begin| begin.guard.grant.run_id);
                let ended = reports.iter().map(|report| report.guard.grant.run_id);
                run_lock_in_tx(c, &begun.chain(ended).collect::<Vec<_>>()).await?;
            }
            let (mut begun, mut ended, mut effects) = (HashSet::new(), Vec::new(), Effects::NONE);
            if !begins.is_empty() {
                let (written, follows) = run_begin_in_tx(c, begins).await?;
                (begun, effects) = (written, effects | follows);
            }
            if !reports.is_empty() {
                let (written, follows) = run_report_in_tx(c, reports).await?;
                (ended, effects) = (written, effects | follows);
            }
            Ok((begun, ended, effects))
        }
        .boxed()
    });
    let (begun, ended, effects) = written.await?;
    wakeups.send(effects);

    for (index, begin) in &begins {
        if !begun.contains(&(begin.guard.worker_id, begin.guard.grant)) {
            verdicts[*index] = ReportVerdict::LeaseLost;
        }
    }
    for ((index, report), (verdict, trace)) in reports.iter().zip(ended) {
        if let (ReportVerdict::Accepted(Some(status)), Some(trace), Some(at)) =
            (verdict, trace, news[*index].ended_at())
        {
            spans::reported(report.guard.grant, status, trace, at);
        }
        if let ReportVerdict::Accepted(Some(status)) = verdict {
            metrics.grant_ended(if status == RunStatus::Queued { "requeued" } else { status.as_str() }, 1);
        }
        verdicts[*index] = verdict;
    }
    if !again.is_empty() {
        let rest: Arc<[GrantNews]> = again.iter().map(|index| news[*index].clone()).collect();
        let later = Box::pin(batch(db, wakeups, metrics, rest)).await?;
        for (index, verdict) in again.into_iter().zip(later) {
            verdicts[index] = verdict;
        }
    }
    Ok(verdicts)
}
