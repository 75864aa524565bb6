//! Gives back grants that did not start.

use std::collections::HashSet;
use std::sync::Arc;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::StoreError;
use crate::store::effects::Effects;
use crate::store::request::claim_call::{ClaimCall, ClaimCallState, claim_call_answered_in_tx, claim_call_lock_in_tx};
use crate::store::run::guard::{Guard, GuardColumns};

/// A grant to give back.
#[derive(Debug, Clone)]
pub struct Release {
    pub guard: Guard,
    /// Give it back even if it is recorded as started: its worker says that no start arrived.
    pub started_too: bool,
    /// Count it as undelivered. A run that is undelivered ten times in a row has to wait.
    pub undelivered: bool,
    /// Give it back only if no later call was answered with it.
    pub unanswered: Option<Unanswered>,
}

/// A call of Claim that can be repeated, and was given a grant that its worker does not know of.
#[derive(Debug, Clone)]
pub struct Unanswered {
    pub call: Arc<ClaimCall>,
    /// The worker knows of no grant of the call, so the same call again is given other runs.
    pub all: bool,
}

/// The grants that were given back, those of calls whose request id another transaction has locked, and the effects.
pub type Released = (HashSet<Uuid>, HashSet<Uuid>, Effects);

/// Gives grants back, except those with which a later call with the same request id was answered.
pub async fn run_release_unanswered_in_tx(c: &mut PgConnection, releases: &[Release]) -> Result<Released, StoreError> {
    let mut calls: Vec<Arc<ClaimCall>> = Vec::new();
    for unanswered in releases.iter().filter_map(|release| release.unanswered.as_ref()) {
        if !calls.contains(&unanswered.call) {
            calls.push(unanswered.call.clone());
        }
    }
    if calls.is_empty() {
        let (released, effects) = run_release_in_tx(c, releases).await?;
        return Ok((released, HashSet::new(), effects));
    }
    let states = claim_call_lock_in_tx(c, &calls).await?;
    let state = |call: &Arc<ClaimCall>| calls.iter().zip(&states).find(|(other, _)| *other == call).map(|it| *it.1);
    let (mut free, mut locked, mut open) = (Vec::new(), HashSet::new(), Vec::new());
    for release in releases {
        match release.unanswered.as_ref().map(|unanswered| (unanswered, state(&unanswered.call))) {
            None => free.push(release.clone()),
            Some((_, Some(ClaimCallState::Superseded) | None)) => {}
            Some((_, Some(ClaimCallState::Locked))) => {
                locked.insert(release.guard.grant.run_id);
            }
            Some((unanswered, Some(ClaimCallState::Newest | ClaimCallState::Answered))) => {
                free.push(release.clone());
                if unanswered.all && !open.contains(&unanswered.call) {
                    open.push(unanswered.call.clone());
                }
            }
        }
    }
    let (released, effects) = run_release_in_tx(c, &free).await?;
    claim_call_answered_in_tx(c, &open, false).await?;
    Ok((released, locked, effects))
}

/// Those of these grants that were claimed for a stream that had been replaced before. No resume can name them. The server of the newer
/// stream writes `heartbeat_at` from its resume on.
pub async fn run_claimed_for_replaced(c: &mut PgConnection, guards: &[Guard]) -> Result<Vec<Uuid>, StoreError> {
    let columns = GuardColumns::of(guards);
    let claimed = sqlx::query_scalar!(
        r#"SELECT r.id AS "id!"
         FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::bigint[]) AS i (run_id, fence, worker_id, epoch)
         JOIN ops.runs r ON r.id = i.run_id
         JOIN ops.workers w ON w.id = i.worker_id AND w.stream_epoch <> i.epoch
         WHERE r.fence = i.fence AND r.worker_id = i.worker_id AND r.status = 'claimed' AND r.claimed_at > w.heartbeat_at"#,
        &columns.run_ids,
        &columns.fences,
        &columns.worker_ids,
        &columns.epochs,
    )
    .fetch_all(c)
    .await?;
    Ok(claimed)
}

/// Gives grants back. Returns the runs whose grants were still valid.
pub async fn run_release_in_tx(
    c: &mut PgConnection,
    releases: &[Release],
) -> Result<(HashSet<Uuid>, Effects), StoreError> {
    let guards: Vec<Guard> = releases.iter().map(|release| release.guard).collect();
    let columns = GuardColumns::of(&guards);
    let rows = sqlx::query_file_scalar!(
        "src/store/run/release.sql",
        &columns.run_ids,
        &columns.fences,
        &columns.worker_ids,
        &columns.epochs,
        &releases.iter().map(|release| release.started_too).collect::<Vec<_>>(),
        &releases.iter().map(|release| release.undelivered).collect::<Vec<_>>(),
    )
    .fetch_all(c)
    .await?;
    // Always: a release that is repeated because the answer to its commit was lost finds no grant, but others still need the wakeup.
    Ok((rows.into_iter().collect(), Effects::WORK | Effects::CHANGES))
}
