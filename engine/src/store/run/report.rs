//! How grants begin and end.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::StoreError;
use crate::domain::{GrantKey, Outcome, RunError, RunStatus, TraceParent};
use crate::store::effects::Effects;
use crate::store::run::guard::{Guard, GuardColumns};

/// A worker was told to start.
#[derive(Debug, Clone, Copy)]
pub struct Begin {
    pub guard: Guard,
    pub started_ago: Duration,
}

/// A worker says how its grant ended.
#[derive(Debug, Clone)]
pub struct GrantReport {
    pub guard: Guard,
    pub outcome: Outcome,
    pub started_ago: Duration,
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportVerdict {
    /// It is the outcome that is kept; the run went to this status if it was kept just now.
    Accepted(Option<RunStatus>),
    /// The grant ended with another outcome of the same worker.
    Conflict,
    LeaseLost,
}

/// Writes down starts. What is not in the answer, by worker and grant, has lost its lease.
pub async fn run_begin_in_tx(
    c: &mut PgConnection,
    begins: &[Begin],
) -> Result<(HashSet<(Uuid, GrantKey)>, Effects), StoreError> {
    let guards: Vec<Guard> = begins.iter().map(|begin| begin.guard).collect();
    let columns = GuardColumns::of(&guards);
    let rows = sqlx::query_file!(
        "src/store/run/begin.sql",
        &columns.run_ids,
        &columns.fences,
        &columns.worker_ids,
        &columns.epochs,
        &begins.iter().map(|begin| begin.started_ago.as_millis() as i64).collect::<Vec<_>>(),
    )
    .fetch_all(c)
    .await?;
    let begun = rows.into_iter().map(|row| (row.worker_id, GrantKey { run_id: row.id, fence: row.fence })).collect();
    Ok((begun, Effects::CHANGES))
}

/// Ends grants. At most one report for a run may be in the batch. Answers the verdict on each, in order, and the run's traceparent.
pub async fn run_report_in_tx(
    c: &mut PgConnection,
    reports: &[GrantReport],
) -> Result<(Vec<(ReportVerdict, Option<TraceParent>)>, Effects), StoreError> {
    let guards: Vec<Guard> = reports.iter().map(|report| report.guard).collect();
    let columns = GuardColumns::of(&guards);
    let results: Vec<Option<&str>> = reports
        .iter()
        .map(|report| match &report.outcome {
            Outcome::Succeeded { result } => Some(result.as_str()),
            _ => None,
        })
        .collect();
    let errors: Vec<Option<String>> = reports
        .iter()
        .map(|report| match &report.outcome {
            Outcome::Failed { error, .. } | Outcome::Cancelled { error: Some(error) } => error_json(error).map(Some),
            _ => Ok(None),
        })
        .collect::<Result<_, _>>()?;
    let delays: Vec<i64> = reports
        .iter()
        .map(|report| match &report.outcome {
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
        &reports.iter().map(|report| report.started_ago.as_millis() as i64).collect::<Vec<_>>(),
    )
    .fetch_all(&mut *c)
    .await?;
    let mut status = HashMap::new();
    for row in ended {
        let word = RunStatus::parse(&row.status).ok_or_else(|| StoreError::defect(format!("status {}", row.status)))?;
        status.insert(row.id, (word, row.traceparent.as_deref().and_then(TraceParent::parse)));
    }

    let refused: Vec<Guard> =
        guards.iter().filter(|guard| !status.contains_key(&guard.grant.run_id)).copied().collect();
    let earlier = if refused.is_empty() { HashMap::new() } else { outcome_earlier_in_tx(c, &refused).await? };
    let verdict = |(report, hash): (&GrantReport, &Vec<u8>)| {
        let guard = report.guard;
        if let Some((status, trace)) = status.get(&guard.grant.run_id) {
            return (ReportVerdict::Accepted(Some(*status)), *trace);
        }
        let verdict = match earlier.get(&guard.grant) {
            Some(first) if first == hash => ReportVerdict::Accepted(None),
            Some(_) => ReportVerdict::Conflict,
            None => ReportVerdict::LeaseLost,
        };
        (verdict, None)
    };
    let requeued = status.values().any(|(status, _)| *status == RunStatus::Queued);
    Ok((reports.iter().zip(&hashes).map(verdict).collect(), Effects::CHANGES | Effects::WORK.when(requeued)))
}

/// The hashes of outcomes that these workers reported before for these grants, of runs that ended and of runs that went on.
async fn outcome_earlier_in_tx(
    c: &mut PgConnection,
    guards: &[Guard],
) -> Result<HashMap<GrantKey, Vec<u8>>, StoreError> {
    let columns = GuardColumns::of(guards);
    let rows = sqlx::query!(
        r#"WITH input AS MATERIALIZED (
               SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::uuid[]) AS i (run_id, fence, worker_id)
           )
           SELECT r.id AS "run_id!", r.fence AS "fence!", r.outcome_hash AS "hash!"
           FROM input i JOIN ops.runs r ON r.id = i.run_id
           WHERE r.fence = i.fence AND r.worker_id = i.worker_id AND r.outcome_source = 'worker'
           UNION ALL
           SELECT g.run_id, g.fence, g.outcome_hash
           FROM input i JOIN ops.run_grants g ON g.run_id = i.run_id AND g.fence = i.fence
           WHERE g.worker_id = i.worker_id AND g.outcome_source = 'worker'"#,
        &columns.run_ids,
        &columns.fences,
        &columns.worker_ids,
    )
    .fetch_all(c)
    .await?;
    Ok(rows.into_iter().map(|row| (GrantKey { run_id: row.run_id, fence: row.fence }, row.hash)).collect())
}

/// The `error` column's object.
fn error_json(error: &RunError) -> Result<String, StoreError> {
    serde_json::to_string(error).map_err(|error| StoreError::defect(error.to_string()))
}
