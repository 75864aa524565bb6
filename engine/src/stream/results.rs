//! How grants start and end: starts and reports of all streams, in batches.
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
use crate::batch::foreign_locks::{LockedRows, Locks, Wait, in_spite_of_locks};
use crate::batch::halving::halve;
use crate::db::{Db, PgConnection, StoreError};
use crate::domain::weight::Weight;
use crate::domain::{GrantKey, Outcome, Refusal, RunStatus, TraceParent};
use crate::store::effects::Effects;
use crate::store::run::guard::Guard;
use crate::store::run::lock::run_lock_in_tx;
use crate::store::run::report::{GrantReport, GrantStart, ReportVerdict, run_report_in_tx, run_start_in_tx};
use crate::telemetry::{Metrics, spans};
use crate::wakeups::Wakeups;

/// Starts and reports that may wait: two for each of as many runs as a server's workers hold.
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
    /// The worker was sent a Start.
    Started { guard: Guard, at: Instant },
    /// The worker reports how it ended. It started `started_ago` before `at`, if its stream knows that.
    Ended { guard: Guard, outcome: Arc<Outcome>, started_ago: Option<Duration>, at: Instant },
}

impl GrantNews {
    fn grant(&self) -> GrantKey {
        match self {
            GrantNews::Started { guard, .. } | GrantNews::Ended { guard, .. } => guard.grant,
        }
    }

    /// When a report was submitted.
    fn ended_at(&self) -> Option<Instant> {
        match self {
            GrantNews::Started { .. } => None,
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
            GrantNews::Started { .. } => 0,
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

    /// Reports the end of one grant whose claim also started it.
    pub async fn report(&self, guard: Guard, outcome: Arc<Outcome>) -> Result<(), EngineError> {
        let ended = GrantNews::Ended { guard, outcome, started_ago: None, at: Instant::now() };
        let write = || {
            let news = vec![ended.clone()];
            async move { self.submit(news).await.pop().unwrap_or(Err(EngineError::ShuttingDown)) }
        };
        in_spite_of_locks(write).await
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
    locked.around_each(news, run, |free, wait| batch(db.clone(), wakeups.clone(), metrics.clone(), free, wait)).await
}

/// Writes one batch, in one transaction or, if several items report the same run, in several. Returns the verdict of each item.
async fn batch(
    db: Db,
    wakeups: Wakeups,
    metrics: Metrics,
    news: Arc<[GrantNews]>,
    wait: Wait,
) -> Result<Vec<ReportVerdict>, StoreError> {
    // A start that its report carries is answered as accepted. If the report is refused, the answer to the report says so.
    let mut verdicts = vec![ReportVerdict::Accepted(None); news.len()];
    let mut waiting: Vec<usize> = (0..news.len()).collect();
    while !waiting.is_empty() {
        let plan = Arc::new(plan(&news, &waiting, Instant::now()));
        let (started, ended, effects) = match wait {
            Wait::Briefly => db.batch(plan.clone(), |c, plan| write(c, plan).boxed()).await?,
            Wait::Long => db.transaction(plan.clone(), |c, plan| write(c, plan).boxed()).await?,
        };
        wakeups.send(effects);
        for (place, start) in plan.starts.iter() {
            if !started.contains(&(start.guard.worker_id, start.guard.grant)) {
                verdicts[place] = ReportVerdict::LeaseLost;
            }
        }
        for ((place, report), (verdict, trace)) in plan.reports.iter().zip(ended) {
            if let ReportVerdict::Accepted(Some(status)) = verdict {
                if let (Some(trace), Some(at)) = (trace, news[place].ended_at()) {
                    spans::reported(report.guard.grant, status, trace, at);
                }
                metrics.grant_ended(if status == RunStatus::Queued { "requeued" } else { status.as_str() }, 1);
            }
            verdicts[place] = verdict;
        }
        waiting.clone_from(&plan.again);
    }
    Ok(verdicts)
}

/// What one transaction of a batch writes, and which items wait for the next one.
#[derive(Debug)]
struct Plan {
    /// The starts that no report of this transaction carries.
    starts: Rows<GrantStart>,
    /// The first report of each run.
    reports: Rows<GrantReport>,
    /// The places of the other reports: each is judged after the one before it is written.
    again: Vec<usize>,
}

/// The rows of a statement, in the order of their grants, and the place of each in the batch.
#[derive(Debug)]
struct Rows<T> {
    rows: Vec<T>,
    places: Vec<usize>,
}

impl<T> Rows<T> {
    fn new(mut placed: Vec<(usize, T)>, grant: impl Fn(&T) -> GrantKey) -> Self {
        placed.sort_by_key(|(_, row)| grant(row));
        let (places, rows) = placed.into_iter().unzip();
        Self { rows, places }
    }

    fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.places.iter().copied().zip(&self.rows)
    }
}

/// Plans one transaction of a batch. `waiting` has the places of the items that are not written yet.
fn plan(news: &[GrantNews], waiting: &[usize], now: Instant) -> Plan {
    let (mut reports, mut again, mut reported) = (Vec::new(), Vec::new(), HashSet::new());
    for place in waiting {
        if let GrantNews::Ended { guard, outcome, started_ago, at } = &news[*place] {
            if !reported.insert(guard.grant.run_id) {
                again.push(*place);
                continue;
            }
            let started_ago = started_ago.map(|ago| ago + now.saturating_duration_since(*at));
            reports.push((*place, GrantReport { guard: *guard, outcome: Arc::clone(outcome), started_ago }));
        }
    }
    let carried: HashSet<Guard> = reports.iter().map(|(_, report)| report.guard).collect();
    let mut starts = Vec::new();
    for place in waiting {
        if let GrantNews::Started { guard, at } = &news[*place]
            && !carried.contains(guard)
        {
            starts.push((*place, GrantStart { guard: *guard, started_ago: now.saturating_duration_since(*at) }));
        }
    }
    Plan {
        starts: Rows::new(starts, |start| start.guard.grant),
        reports: Rows::new(reports, |report| report.guard.grant),
        again,
    }
}

/// What a transaction has written: the grants whose starts stand, by worker; the verdict and the trace of each report; the effects.
type Written = (HashSet<(Uuid, GrantKey)>, Vec<(ReportVerdict, Option<TraceParent>)>, Effects);

/// Writes what is planned.
async fn write(c: &mut PgConnection, plan: &Plan) -> Result<Written, StoreError> {
    let (starts, reports) = (&plan.starts.rows, &plan.reports.rows);
    if !starts.is_empty() && !reports.is_empty() {
        let started = starts.iter().map(|start| start.guard.grant.run_id);
        let ended = reports.iter().map(|report| report.guard.grant.run_id);
        run_lock_in_tx(c, &started.chain(ended).collect::<Vec<_>>()).await?;
    }
    let (mut started, mut ended, mut effects) = (HashSet::new(), Vec::new(), Effects::NONE);
    if !starts.is_empty() {
        let (written, follows) = run_start_in_tx(c, starts).await?;
        (started, effects) = (written, effects | follows);
    }
    if !reports.is_empty() {
        let (written, follows) = run_report_in_tx(c, reports).await?;
        (ended, effects) = (written, effects | follows);
    }
    Ok((started, ended, effects))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKER: Uuid = Uuid::from_u128(1);

    fn guard(run: u128, fence: i64) -> Guard {
        Guard { grant: GrantKey { run_id: Uuid::from_u128(run), fence }, worker_id: WORKER, epoch: 1 }
    }

    fn started(guard: Guard, at: Instant) -> GrantNews {
        GrantNews::Started { guard, at }
    }

    fn ended(guard: Guard, started_ago: Duration, at: Instant) -> GrantNews {
        let outcome = Arc::new(Outcome::Snoozed { delay: Duration::ZERO });
        GrantNews::Ended { guard, outcome, started_ago: Some(started_ago), at }
    }

    /// Plans for all items. Answers the places of starts, of reports, and of what waits.
    fn places(news: &[GrantNews]) -> [Vec<usize>; 3] {
        let all: Vec<usize> = (0..news.len()).collect();
        let Plan { starts, reports, again } = plan(news, &all, Instant::now());
        [starts.places, reports.places, again]
    }

    #[test]
    fn starts_and_reports_are_written_in_the_order_of_their_grants() {
        let now = Instant::now();
        let news = [
            ended(guard(9, 1), Duration::ZERO, now),
            started(guard(8, 2), now),
            started(guard(8, 1), now),
            ended(guard(2, 5), Duration::ZERO, now),
            started(guard(3, 1), now),
        ];
        assert_eq!(places(&news), [vec![4, 2, 1], vec![3, 0], vec![]]);
    }

    #[test]
    fn a_report_carries_the_start_of_its_grant_and_of_no_other() {
        let now = Instant::now();
        let (mine, other_fence) = (guard(1, 1), guard(1, 2));
        let other_stream = Guard { epoch: 2, ..mine };
        let report = || ended(mine, Duration::ZERO, now);
        assert_eq!(places(&[started(mine, now), report()]), [vec![], vec![1], vec![]]);
        assert_eq!(places(&[report(), started(mine, now)]), [vec![], vec![0], vec![]]);
        assert_eq!(places(&[started(other_fence, now), report()]), [vec![0], vec![1], vec![]]);
        assert_eq!(places(&[started(other_stream, now), report()]), [vec![0], vec![1], vec![]]);
    }

    #[test]
    fn a_second_report_of_a_run_waits_until_the_first_is_written() {
        let now = Instant::now();
        let (first, second) = (guard(1, 1), guard(1, 2));
        let report = |guard| ended(guard, Duration::ZERO, now);
        let news = [report(first), report(guard(2, 1)), report(first), started(second, now), report(second)];
        let [starts, reports, again] = places(&news);
        assert_eq!(
            (starts, reports, &again),
            (vec![3], vec![0, 1], &vec![2, 4]),
            "no report carries the start of what waits"
        );
        let rest = plan(&news, &again, now);
        assert_eq!((rest.starts.places, rest.reports.places, &rest.again), (vec![], vec![2], &vec![4]));
        let last = plan(&news, &rest.again, now);
        assert_eq!((last.starts.places, last.reports.places, last.again), (vec![], vec![4], vec![]));
    }

    #[test]
    fn a_start_that_waited_for_its_report_counts_from_when_it_was_sent() {
        let (waited, ran) = (Duration::from_millis(25), Duration::from_secs(3));
        let sent = Instant::now();
        let news = [started(guard(1, 1), sent), started(guard(2, 1), sent), ended(guard(2, 1), ran, sent)];
        let Plan { starts, reports, .. } = plan(&news, &[0, 1, 2], sent + waited);
        assert_eq!(starts.iter().map(|(place, start)| (place, start.started_ago)).collect::<Vec<_>>(), [(0, waited)]);
        assert_eq!(
            reports.iter().map(|(place, report)| (place, report.started_ago)).collect::<Vec<_>>(),
            [(2, Some(ran + waited))]
        );
    }
}
