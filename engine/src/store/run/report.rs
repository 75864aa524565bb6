//! Records how grants start and end.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::StoreError;
use crate::domain::{GrantKey, Outcome, RunError, RunStatus, TraceParent};
use crate::store::effects::Effects;
use crate::store::run::guard::{Guard, GuardColumns};

/// A start that was sent to a worker.
#[derive(Debug, Clone, Copy)]
pub struct GrantStart {
    pub guard: Guard,
    pub started_ago: Duration,
}

/// The outcome of a grant, as its worker reports it.
#[derive(Debug, Clone)]
pub struct GrantReport {
    pub guard: Guard,
    pub outcome: Arc<Outcome>,
    /// If its start may not be written yet. Without it, only a grant that is recorded as started ends.
    pub started_ago: Option<Duration>,
}

/// The verdict on a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportVerdict {
    /// The report has the outcome that is kept. A status means that this report set it; `None` means that the report is a repetition.
    Accepted(Option<RunStatus>),
    /// The grant ended with another outcome of the same worker.
    Conflict,
    LeaseLost,
}

/// Records starts. Returns the workers and grants that are still valid; all others have lost their lease.
pub async fn run_start_in_tx(
    c: &mut PgConnection,
    starts: &[GrantStart],
) -> Result<(HashSet<(Uuid, GrantKey)>, Effects), StoreError> {
    let guards: Vec<Guard> = starts.iter().map(|start| start.guard).collect();
    let columns = GuardColumns::of(&guards);
    let rows = sqlx::query_file!(
        "src/store/run/start.sql",
        &columns.run_ids,
        &columns.fences,
        &columns.worker_ids,
        &columns.epochs,
        &starts.iter().map(|start| start.started_ago.as_millis() as i64).collect::<Vec<_>>(),
    )
    .fetch_all(c)
    .await?;
    let started = rows.into_iter().map(|row| (row.worker_id, GrantKey { run_id: row.id, fence: row.fence })).collect();
    Ok((started, Effects::CHANGES))
}

/// Ends grants. A batch has at most one report for a run. Returns the verdict on each report, in order, and the run's traceparent.
pub async fn run_report_in_tx(
    c: &mut PgConnection,
    reports: &[GrantReport],
) -> Result<(Vec<(ReportVerdict, Option<TraceParent>)>, Effects), StoreError> {
    let guards: Vec<Guard> = reports.iter().map(|report| report.guard).collect();
    let columns = GuardColumns::of(&guards);
    let results: Vec<Option<&str>> = reports
        .iter()
        .map(|report| match &*report.outcome {
            Outcome::Succeeded { result } => Some(result.as_str()),
            _ => None,
        })
        .collect();
    let errors: Vec<Option<String>> = reports
        .iter()
        .map(|report| match &*report.outcome {
            Outcome::Failed { error, .. } | Outcome::Cancelled { error: Some(error) } => error_json(error).map(Some),
            _ => Ok(None),
        })
        .collect::<Result<_, _>>()?;
    let delays: Vec<i64> = reports
        .iter()
        .map(|report| match &*report.outcome {
            Outcome::Snoozed { delay } => delay.as_millis() as i64,
            _ => 0,
        })
        .collect();
    let hashes: Vec<Vec<u8>> = reports.iter().map(|report| report.outcome.hash()).collect();
    let ended = sqlx::query_file!(
        "src/store/run/report.sql",
        &columns.run_ids,
        &columns.fences,
        &columns.worker_ids,
        &columns.epochs,
        &reports.iter().map(|report| report.outcome.as_str()).collect::<Vec<_>>() as &[&str],
        &results as &[Option<&str>],
        &errors as &[Option<String>],
        &delays,
        &hashes,
        &reports.iter().map(|report| report.started_ago.map(|ago| ago.as_millis() as i64)).collect::<Vec<_>>()
            as &[Option<i64>],
    )
    .fetch_all(&mut *c)
    .await?;
    let mut status = HashMap::new();
    for row in ended {
        let word = RunStatus::parse(&row.status).ok_or_else(|| StoreError::defect(format!("status {}", row.status)))?;
        status.insert(row.id, (word, row.traceparent.as_deref().and_then(TraceParent::parse)));
    }

    let refused: Vec<Refused<'_>> = guards
        .iter()
        .zip(results.iter().zip(&hashes))
        .filter(|(guard, _)| !status.contains_key(&guard.grant.run_id))
        .map(|(guard, (result, hash))| Refused { guard: *guard, result: *result, hash })
        .collect();
    let earlier = if refused.is_empty() { HashMap::new() } else { outcome_earlier_in_tx(c, &refused).await? };
    let verdict = |guard: &Guard| {
        if let Some((status, trace)) = status.get(&guard.grant.run_id) {
            return (ReportVerdict::Accepted(Some(*status)), *trace);
        }
        let verdict = match earlier.get(&guard.grant) {
            Some(true) => ReportVerdict::Accepted(None),
            Some(false) => ReportVerdict::Conflict,
            None => ReportVerdict::LeaseLost,
        };
        (verdict, None)
    };
    let requeued = status.values().any(|(status, _)| *status == RunStatus::Queued);
    Ok((guards.iter().map(verdict).collect(), Effects::CHANGES | Effects::WORK.when(requeued)))
}

/// A report that has changed nothing.
#[derive(Debug, Clone, Copy)]
pub struct Refused<'r> {
    pub guard: Guard,
    pub result: Option<&'r str>,
    pub hash: &'r [u8],
}

impl Refused<'_> {
    /// Asks only whether there was a report of this grant.
    pub fn any(guard: Guard) -> Self {
        Self { guard, result: None, hash: &[] }
    }
}

/// Whether the outcomes that these workers reported earlier for these grants are the same, whether their runs ended or went on. A grant
/// without an earlier outcome is left out. Results are the same if their values are.
pub async fn outcome_earlier_in_tx(
    c: &mut PgConnection,
    refused: &[Refused<'_>],
) -> Result<HashMap<GrantKey, bool>, StoreError> {
    let guards: Vec<Guard> = refused.iter().map(|report| report.guard).collect();
    let columns = GuardColumns::of(&guards);
    let rows = sqlx::query!(
        r#"WITH input AS MATERIALIZED (
               SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::bytea[], $5::text[])
                   AS i (run_id, fence, worker_id, hash, result)
           )
           SELECT r.id AS "run_id!", r.fence AS "fence!",
                  (r.outcome_hash = i.hash OR coalesce(r.status = 'succeeded' AND r.result = i.result::jsonb, false)) AS "same!"
           FROM input i JOIN ops.runs r ON r.id = i.run_id
           WHERE r.fence = i.fence AND r.worker_id = i.worker_id AND r.outcome_source = 'worker'
           UNION ALL
           SELECT g.run_id, g.fence, g.outcome_hash = i.hash
           FROM input i JOIN ops.run_grants g ON g.run_id = i.run_id AND g.fence = i.fence
           WHERE g.worker_id = i.worker_id AND g.outcome_source = 'worker'"#,
        &columns.run_ids,
        &columns.fences,
        &columns.worker_ids,
        &refused.iter().map(|report| report.hash).collect::<Vec<_>>() as &[&[u8]],
        &refused.iter().map(|report| report.result).collect::<Vec<_>>() as &[Option<&str>],
    )
    .fetch_all(c)
    .await?;
    Ok(rows.into_iter().map(|row| (GrantKey { run_id: row.run_id, fence: row.fence }, row.same)).collect())
}

/// The JSON of an `error` column.
fn error_json(error: &RunError) -> Result<String, StoreError> {
    serde_json::to_string(error).map_err(|error| StoreError::defect(error.to_string()))
}
