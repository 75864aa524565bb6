//! Calls of Claim that can be repeated: one request id has one answer, whichever servers its calls come to.
//!
//! The row of the request id names its newest call, and says whether a call was given runs. Each step is a write on this row, so the steps
//! of several servers have an order. Only the newest call is given runs. A call that finds that runs were given becomes the newest call and
//! returns them. What could not be delivered goes back only while the call that got it is still the newest: nobody else was answered with it.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::StoreError;
use crate::domain::TenantId;
use crate::store::request::id::claim_error;

/// A call of Claim with a request id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimCall {
    pub tenant: TenantId,
    pub request_id: String,
    /// Belongs to the request id, and is written into the runs.
    pub claim_id: Uuid,
    /// Belongs to this call.
    pub call: Uuid,
}

/// What a call of Claim finds at its request id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimCallOpened {
    /// No call was given runs yet, so this one may be. The id is written into its runs.
    Open(Uuid),
    /// An earlier call was given runs under this id.
    Answered(Uuid),
    /// The request id was used with another payload.
    Reused,
}

/// What may happen to a call that waits for runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimCallState {
    /// It may be given runs.
    Newest,
    /// It was given runs, by a claim whose answer was lost.
    Answered,
    /// A later call has the same request id.
    Superseded,
    /// Another transaction has locked the request id.
    Locked,
}

/// Makes a call the newest one with its request id. `StoreError::RequestHeld` means that another call with it is given runs now.
pub async fn claim_call_open(
    c: &mut PgConnection,
    tenant: &TenantId,
    request_id: &str,
    payload_hash: &[u8],
    call: Uuid,
) -> Result<ClaimCallOpened, StoreError> {
    let row = sqlx::query!(
        r#"INSERT INTO ops.request_ids AS r (tenant_id, scope, request_id, payload_hash, resource_ids, call_id, answered)
           VALUES ($1, 'Claim', $2, $3, ARRAY[$4::uuid], $5, false)
           ON CONFLICT (tenant_id, scope, request_id) DO UPDATE
           SET call_id = CASE WHEN r.payload_hash = excluded.payload_hash THEN excluded.call_id ELSE r.call_id END,
               -- A server of the release before did not write this column.
               answered = coalesce(r.answered, EXISTS (
                   SELECT FROM ops.runs WHERE claim_id = r.resource_ids[1] AND tenant_id IS NOT DISTINCT FROM $1))
           RETURNING r.resource_ids[1] AS "claim_id!", r.payload_hash = $3 AS "same!", r.answered AS "answered!""#,
        tenant.as_str(),
        request_id,
        payload_hash,
        Uuid::now_v7(),
        call,
    )
    .fetch_one(c)
    .await
    .map_err(claim_error)?;
    Ok(match (row.same, row.answered) {
        (false, _) => ClaimCallOpened::Reused,
        (true, false) => ClaimCallOpened::Open(row.claim_id),
        (true, true) => ClaimCallOpened::Answered(row.claim_id),
    })
}

/// Locks the request ids of these calls until the end of the transaction. Returns what may happen to each call, in order. It waits for no
/// lock.
pub async fn claim_call_lock_in_tx(
    c: &mut PgConnection,
    calls: &[Arc<ClaimCall>],
) -> Result<Vec<ClaimCallState>, StoreError> {
    let columns = CallColumns::of(calls);
    let rows = sqlx::query!(
        r#"SELECT i.call AS "call!", r.call_id, r.answered
           FROM unnest($1::text[], $2::text[], $3::uuid[]) AS i (tenant_id, request_id, call)
           CROSS JOIN LATERAL (
               SELECT call_id, answered FROM ops.request_ids
               WHERE tenant_id = i.tenant_id AND scope = 'Claim' AND request_id = i.request_id
               FOR NO KEY UPDATE SKIP LOCKED) r"#,
        &columns.tenants,
        &columns.request_ids,
        &columns.calls,
    )
    .fetch_all(c)
    .await?;
    let states: HashMap<Uuid, ClaimCallState> = rows
        .into_iter()
        .map(|row| {
            let state = match (row.call_id == Some(row.call), row.answered) {
                (false, _) => ClaimCallState::Superseded,
                (true, Some(true)) => ClaimCallState::Answered,
                (true, _) => ClaimCallState::Newest,
            };
            (row.call, state)
        })
        .collect();
    Ok(calls.iter().map(|call| states.get(&call.call).copied().unwrap_or(ClaimCallState::Locked)).collect())
}

/// Writes that these calls were given runs, or that none was because all runs went back. The caller has locked their request ids.
pub async fn claim_call_answered_in_tx(
    c: &mut PgConnection,
    calls: &[Arc<ClaimCall>],
    answered: bool,
) -> Result<(), StoreError> {
    if calls.is_empty() {
        return Ok(());
    }
    let columns = CallColumns::of(calls);
    sqlx::query!(
        "UPDATE ops.request_ids r SET answered = $4
         FROM unnest($1::text[], $2::text[], $3::uuid[]) AS i (tenant_id, request_id, call)
         WHERE r.tenant_id = i.tenant_id AND r.scope = 'Claim' AND r.request_id = i.request_id AND r.call_id = i.call",
        &columns.tenants,
        &columns.request_ids,
        &columns.calls,
        answered,
    )
    .execute(c)
    .await?;
    Ok(())
}

/// Whether no later call has the request id.
pub async fn claim_call_is_newest(c: &mut PgConnection, call: &ClaimCall) -> Result<bool, StoreError> {
    let newest = sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM ops.request_ids
               WHERE tenant_id = $1 AND scope = 'Claim' AND request_id = $2 AND call_id = $3) AS "newest!""#,
        call.tenant.as_str(),
        call.request_id,
        call.call,
    )
    .fetch_one(c)
    .await?;
    Ok(newest)
}

/// Calls as the columns of an `unnest`.
struct CallColumns {
    tenants: Vec<String>,
    request_ids: Vec<String>,
    calls: Vec<Uuid>,
}

impl CallColumns {
    fn of(calls: &[Arc<ClaimCall>]) -> Self {
        Self {
            tenants: calls.iter().map(|call| call.tenant.as_str().to_owned()).collect(),
            request_ids: calls.iter().map(|call| call.request_id.clone()).collect(),
            calls: calls.iter().map(|call| call.call).collect(),
        }
    }
}
