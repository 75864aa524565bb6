//! Claims the request ids of many calls at once, for batches of enqueues.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::StoreError;
use crate::domain::TenantId;
use crate::store::request::id::{RequestClaim, claim_error};

/// A request with a `request_id`, and the resources that it will create.
#[derive(Debug, Clone)]
pub struct RequestKey {
    pub tenant: TenantId,
    /// The method.
    pub scope: &'static str,
    pub request_id: String,
    pub payload_hash: Vec<u8>,
    pub resource_ids: Vec<Uuid>,
}

/// Claims request ids. Returns the claims in the order of the keys. `RequestHeld` means that another call with one of the ids still
/// executes.
pub async fn request_claim_many_in_tx(
    c: &mut PgConnection,
    keys: &[RequestKey],
) -> Result<Vec<RequestClaim>, StoreError> {
    let tenants: Vec<String> = keys.iter().map(|key| key.tenant.as_str().to_owned()).collect();
    let scopes: Vec<String> = keys.iter().map(|key| key.scope.to_owned()).collect();
    let ids: Vec<String> = keys.iter().map(|key| key.request_id.clone()).collect();
    let hashes: Vec<Vec<u8>> = keys.iter().map(|key| key.payload_hash.clone()).collect();
    // In SQL all inner arrays of an array have the same length, so each list of resources is sent as text.
    let resources: Vec<String> = keys.iter().map(|key| array_text(&key.resource_ids)).collect();
    sqlx::query!(
        "INSERT INTO ops.request_ids (tenant_id, scope, request_id, payload_hash, resource_ids)
         SELECT tenant_id, scope, request_id, payload_hash, resource_ids::uuid[]
         FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[])
             AS k (tenant_id, scope, request_id, payload_hash, resource_ids)
         ORDER BY tenant_id, scope, request_id
         ON CONFLICT DO NOTHING",
        &tenants,
        &scopes,
        &ids,
        &hashes,
        &resources,
    )
    .execute(&mut *c)
    .await
    .map_err(claim_error)?;
    let rows = sqlx::query!(
        r#"SELECT k.place AS "place!", r.payload_hash, r.resource_ids
           FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS k (tenant_id, scope, request_id, place)
           JOIN ops.request_ids r
             ON r.tenant_id = k.tenant_id AND r.scope = k.scope AND r.request_id = k.request_id
           ORDER BY k.place"#,
        &tenants,
        &scopes,
        &ids,
    )
    .fetch_all(c)
    .await?;
    if rows.len() != keys.len() {
        return Err(StoreError::Serialization("a request_id was deleted during the claim".into()));
    }
    Ok(keys
        .iter()
        .zip(rows)
        .map(|(key, row)| {
            if row.resource_ids == key.resource_ids {
                RequestClaim::Fresh
            } else if row.payload_hash == key.payload_hash {
                RequestClaim::Repeated(row.resource_ids)
            } else {
                RequestClaim::Reused
            }
        })
        .collect())
}

/// Releases request ids that this transaction claimed, when their resources are not created after all.
pub async fn request_release_many_in_tx(c: &mut PgConnection, keys: &[RequestKey]) -> Result<(), StoreError> {
    sqlx::query!(
        "DELETE FROM ops.request_ids r
         USING unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS k (tenant_id, scope, request_id, resource_ids)
         WHERE r.tenant_id = k.tenant_id AND r.scope = k.scope AND r.request_id = k.request_id
           AND r.resource_ids = k.resource_ids::uuid[]",
        &keys.iter().map(|key| key.tenant.as_str().to_owned()).collect::<Vec<_>>(),
        &keys.iter().map(|key| key.scope.to_owned()).collect::<Vec<_>>(),
        &keys.iter().map(|key| key.request_id.clone()).collect::<Vec<_>>(),
        &keys.iter().map(|key| array_text(&key.resource_ids)).collect::<Vec<_>>(),
    )
    .execute(c)
    .await?;
    Ok(())
}

fn array_text(ids: &[Uuid]) -> String {
    let ids: Vec<String> = ids.iter().map(Uuid::to_string).collect();
    format!("{{{}}}", ids.join(","))
}
