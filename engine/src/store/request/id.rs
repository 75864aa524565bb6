//! Keeps what a `request_id` created, so that a repeated request gets the same answer.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::StoreError;
use crate::domain::TenantId;

/// The result of claiming a `request_id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestClaim {
    /// The id is new. It names the given resources once the transaction is committed.
    Fresh,
    /// The same request succeeded before and created these resources.
    Repeated(Vec<Uuid>),
    /// The id was used with another payload.
    Reused,
}

/// Converts an error of a claim. A lock timeout means that another call with the same `request_id` still executes.
pub(super) fn claim_error(error: sqlx::Error) -> StoreError {
    match StoreError::from(error) {
        StoreError::LockTimeout => StoreError::RequestHeld,
        error => error,
    }
}

/// Claims a `request_id` in the transaction that creates the resources. `StoreError::RequestHeld` means that another call
/// with it still executes.
pub async fn request_claim_in_tx(
    c: &mut PgConnection,
    tenant: &TenantId,
    scope: &str,
    request_id: &str,
    payload_hash: &[u8],
    resource_ids: &[Uuid],
) -> Result<RequestClaim, StoreError> {
    let inserted = sqlx::query!(
        "INSERT INTO ops.request_ids (tenant_id, scope, request_id, payload_hash, resource_ids)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        tenant.as_str(),
        scope,
        request_id,
        payload_hash,
        resource_ids
    )
    .execute(&mut *c)
    .await
    .map_err(claim_error)?;
    if inserted.rows_affected() > 0 {
        return Ok(RequestClaim::Fresh);
    }
    let first = sqlx::query!(
        "SELECT payload_hash, resource_ids FROM ops.request_ids
         WHERE tenant_id = $1 AND scope = $2 AND request_id = $3",
        tenant.as_str(),
        scope,
        request_id
    )
    .fetch_optional(c)
    .await?;
    match first {
        Some(first) if first.payload_hash == payload_hash => Ok(RequestClaim::Repeated(first.resource_ids)),
        Some(_) => Ok(RequestClaim::Reused),
        // Retention deleted the id between the two statements. A retry finds it free.
        None => Err(StoreError::Serialization("a request_id was deleted during the claim".into())),
    }
}

/// Releases a claimed `request_id` in the same transaction, when nothing was created after all.
pub async fn request_release_in_tx(
    c: &mut PgConnection,
    tenant: &TenantId,
    scope: &str,
    request_id: &str,
) -> Result<(), StoreError> {
    sqlx::query!(
        "DELETE FROM ops.request_ids WHERE tenant_id = $1 AND scope = $2 AND request_id = $3",
        tenant.as_str(),
        scope,
        request_id
    )
    .execute(c)
    .await?;
    Ok(())
}

/// The first resource that a request created.
pub async fn request_first(
    c: &mut PgConnection,
    tenant: &TenantId,
    scope: &str,
    request_id: &str,
) -> Result<Option<Uuid>, StoreError> {
    let ids = sqlx::query_scalar!(
        "SELECT resource_ids FROM ops.request_ids WHERE tenant_id = $1 AND scope = $2 AND request_id = $3",
        tenant.as_str(),
        scope,
        request_id
    )
    .fetch_optional(c)
    .await?;
    Ok(ids.and_then(|ids| ids.first().copied()))
}

/// Deletes request ids that are older than 24 hours. Returns how many.
pub async fn request_id_prune(c: &mut PgConnection) -> Result<u64, StoreError> {
    let pruned = sqlx::query!(
        "DELETE FROM ops.request_ids r USING (
             SELECT tenant_id, scope, request_id FROM ops.request_ids WHERE created_at < now() - interval '24 hours'
             LIMIT 10000 FOR UPDATE SKIP LOCKED) old
         WHERE r.tenant_id = old.tenant_id AND r.scope = old.scope AND r.request_id = old.request_id"
    )
    .execute(c)
    .await?;
    Ok(pruned.rows_affected())
}
