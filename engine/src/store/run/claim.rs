//! Claims runs for workers.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::StoreError;
use crate::domain::run::Claim;
use crate::domain::{Grant, GrantKey, Lane, Run, TenantId};
use crate::store::effects::Effects;
use crate::store::request::claim_call::{ClaimCall, ClaimCallState, claim_call_answered_in_tx, claim_call_lock_in_tx};
use crate::store::run::guard::Guard;
use crate::store::run::release::{Release, run_release_in_tx};
use crate::store::run::row::{run_error, run_rows, run_spec};

/// The runs that the workers of one group take: of one tenant, in these lanes, of these kinds (none = any).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimGroup {
    pub tenant: TenantId,
    pub lanes: BTreeSet<Lane>,
    pub kinds: BTreeSet<String>,
}

/// One free slot of a worker.
#[derive(Debug, Clone)]
pub struct Slot {
    pub worker_id: Uuid,
    pub worker_name: String,
    /// The claim also starts the run, for workers without a stream.
    pub starts: bool,
    pub lease: Duration,
    /// The id of a unary call that can be repeated.
    pub claim_id: Option<Uuid>,
}

/// Names a claim, so that one whose answer was lost can be found.
#[derive(Debug, Clone, Copy)]
pub struct ClaimKey {
    pub server_id: Uuid,
    /// The number of the claim in this server: `claim_number`.
    pub number: i64,
}

/// The result of a claim.
#[derive(Debug)]
pub struct Claimed {
    /// One run for each of the first slots, in the order of the slots.
    pub runs: Vec<Run>,
    /// How many runs the claim read, 0 if it got none. More than it got, with slots left, means that others had locked some.
    pub looked: usize,
    pub effects: Effects,
}

/// Waits until no other claim of the tenant has the turn. This transaction then has it until its end.
pub async fn run_claim_turn_in_tx(c: &mut PgConnection, tenant: &TenantId) -> Result<(), StoreError> {
    let turn = sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('ops.claim'), hashtext($1))", tenant.as_str());
    turn.fetch_one(c).await?;
    Ok(())
}

/// Gives the best claimable runs of a group to its slots in one statement, the first run to the first slot. It skips runs that others
/// have locked, and reads `limit` runs at most.
pub async fn run_claim(
    c: &mut PgConnection,
    group: &ClaimGroup,
    slots: &[Slot],
    limit: usize,
    by: ClaimKey,
) -> Result<Claimed, StoreError> {
    let rows = sqlx::query_file!(
        "src/store/run/claim.sql",
        group.tenant.as_str(),
        &lane_words(group),
        &kind_words(group),
        &slots.iter().map(|slot| slot.worker_id).collect::<Vec<_>>(),
        &slots.iter().map(|slot| slot.worker_name.clone()).collect::<Vec<_>>(),
        &slots.iter().map(|slot| slot.starts).collect::<Vec<_>>(),
        &slots.iter().map(|slot| slot.lease.as_millis() as i64).collect::<Vec<_>>(),
        &slots.iter().map(|slot| slot.claim_id).collect::<Vec<_>>() as &[Option<Uuid>],
        by.server_id,
        by.number,
        limit as i64,
    )
    .fetch_all(c)
    .await?;
    let looked = rows.first().map_or(0, |row| row.looked as usize);
    let effects = Effects::CHANGES.when(!rows.is_empty());
    let mut runs = Vec::with_capacity(rows.len());
    for row in rows {
        let slot = usize::try_from(row.place - 1).ok().and_then(|place| slots.get(place));
        let slot = slot.ok_or_else(|| StoreError::defect(format!("run {} was claimed for no slot", row.id)))?;
        let grant = Grant {
            worker_id: slot.worker_id,
            worker_name: slot.worker_name.clone(),
            claimed_at: row.at,
            started_at: slot.starts.then_some(row.at),
            heartbeat_at: row.at,
        };
        let error = run_error(row.error.as_deref())?;
        let claim = Claim { grant, attempt: row.attempt, fence: row.fence, revision: row.revision, error };
        let run_after = Some(row.run_after);
        let queued = Run::enqueued(row.id, group.tenant.clone(), run_spec!(row), run_after, row.created_at);
        runs.push(queued.claimed(claim));
    }
    Ok(Claimed { runs, looked, effects })
}

/// Claims as `run_claim` does, for slots of which some belong to `calls`, which can be repeated. Only those slots get runs whose calls are the
/// newest with their request ids. Returns the state of each call, too.
pub async fn run_claim_repeatable_in_tx(
    c: &mut PgConnection,
    group: &ClaimGroup,
    slots: &[Slot],
    calls: &[Arc<ClaimCall>],
    limit: usize,
    by: ClaimKey,
) -> Result<(Claimed, Vec<ClaimCallState>), StoreError> {
    if calls.is_empty() {
        return Ok((run_claim(c, group, slots, limit, by).await?, Vec::new()));
    }
    let states = claim_call_lock_in_tx(c, calls).await?;
    let is_newest = |slot: &&Slot| {
        let call = calls.iter().zip(&states).find(|(call, _)| Some(call.claim_id) == slot.claim_id);
        call.is_none_or(|(_, state)| *state == ClaimCallState::Newest)
    };
    let slots: Vec<Slot> = slots.iter().filter(is_newest).cloned().collect();
    if slots.is_empty() {
        return Ok((Claimed { runs: Vec::new(), looked: 0, effects: Effects::NONE }, states));
    }
    let claimed = run_claim(c, group, &slots, limit, by).await?;
    let given: HashSet<Uuid> = slots.iter().take(claimed.runs.len()).filter_map(|slot| slot.claim_id).collect();
    let answered: Vec<_> = calls.iter().filter(|call| given.contains(&call.claim_id)).cloned().collect();
    claim_call_answered_in_tx(c, &answered, true).await?;
    Ok((claimed, states))
}

/// The number of claimable runs of a group, up to `limit`. It includes runs that others are claiming now.
pub async fn run_claimable(c: &mut PgConnection, group: &ClaimGroup, limit: usize) -> Result<usize, StoreError> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!"
           FROM (
               SELECT FROM unnest($2::text[]) AS l (lane)
               CROSS JOIN LATERAL (
                   SELECT FROM ops.run_queue q
                   WHERE q.tenant_id = $1 AND q.lane = l.lane::ops.lane_type
                     AND (cardinality($3::text[]) = 0 OR q.kind = ANY ($3))
                   LIMIT $4) c
               LIMIT $4) found"#,
        group.tenant.as_str(),
        &lane_words(group),
        &kind_words(group),
        limit as i64,
    )
    .fetch_one(c)
    .await?;
    Ok(count as usize)
}

/// The runs of an earlier unary call that its worker still holds, the best first, as the claim gave them.
pub async fn run_claimed_before(
    c: &mut PgConnection,
    tenant: &TenantId,
    worker_id: Uuid,
    claim_id: Uuid,
) -> Result<Vec<Run>, StoreError> {
    let rows = run_rows!(
        "FROM ops.runs r
         WHERE r.claim_id = $2 AND r.tenant_id IS NOT DISTINCT FROM $1 AND r.worker_id = $3 AND r.status IN ('claimed', 'running')
         ORDER BY r.priority DESC, r.run_after, r.id",
        tenant.as_str(),
        claim_id,
        worker_id
    );
    rows.fetch_all(c).await?.into_iter().map(Run::try_from).collect()
}

/// Gives back the runs of a claim whose answer was lost, so no worker knows of them: no attempt is spent. `calls` are the calls that can be
/// repeated for which it claimed: runs with which a later call was answered stay claimed. So do runs that another transaction has locked.
/// Returns how many were given back.
pub async fn run_claim_undo_in_tx(
    c: &mut PgConnection,
    by: ClaimKey,
    calls: &[Arc<ClaimCall>],
) -> Result<(usize, Effects), StoreError> {
    let states = if calls.is_empty() { Vec::new() } else { claim_call_lock_in_tx(c, calls).await? };
    let answered: HashSet<Uuid> = calls
        .iter()
        .zip(states)
        .filter(|(_, state)| matches!(state, ClaimCallState::Superseded | ClaimCallState::Locked))
        .map(|(call, _)| call.claim_id)
        .collect();
    let grants = sqlx::query_file!("src/store/run/claim_undo.sql", by.server_id, by.number).fetch_all(&mut *c).await?;
    let unanswered: Vec<_> =
        grants.into_iter().filter(|row| row.claim_id.is_none_or(|claim_id| !answered.contains(&claim_id))).collect();
    if unanswered.is_empty() {
        return Ok((0, Effects::NONE));
    }
    let opened: HashSet<Uuid> = unanswered.iter().filter_map(|row| row.claim_id).collect();
    let releases: Vec<Release> = unanswered
        .into_iter()
        .map(|row| {
            let grant = GrantKey { run_id: row.id, fence: row.fence };
            let guard = Guard { grant, worker_id: row.worker_id, epoch: row.stream_epoch };
            Release { guard, started_too: true, undelivered: false, unanswered: None }
        })
        .collect();
    let (released, effects) = run_release_in_tx(c, &releases).await?;
    let opened: Vec<_> = calls.iter().filter(|call| opened.contains(&call.claim_id)).cloned().collect();
    claim_call_answered_in_tx(c, &opened, false).await?;
    Ok((released.len(), effects))
}

fn lane_words(group: &ClaimGroup) -> Vec<String> {
    group.lanes.iter().map(|lane| lane.as_str().to_owned()).collect()
}

fn kind_words(group: &ClaimGroup) -> Vec<String> {
    group.kinds.iter().cloned().collect()
}
