//! Reads and lists runs.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::StoreError;
use crate::domain::filter::RunFilter;
use crate::domain::{Lane, Run, RunStatus, TenantId};
use crate::store::run::row::run_rows;

/// One run.
pub async fn run_get(c: &mut PgConnection, tenant: &TenantId, id: Uuid) -> Result<Option<Run>, StoreError> {
    run_rows!("FROM ops.runs r WHERE r.tenant_id = $1 AND r.id = $2", tenant.as_str(), id)
        .fetch_optional(c)
        .await?
        .map(Run::try_from)
        .transpose()
}

/// Whether the tenant has this run.
pub async fn run_exists(c: &mut PgConnection, tenant: &TenantId, id: Uuid) -> Result<bool, StoreError> {
    let row = sqlx::query!("SELECT id FROM ops.runs WHERE tenant_id = $1 AND id = $2", tenant.as_str(), id);
    Ok(row.fetch_optional(c).await?.is_some())
}

/// The newest runs that match, older than `before`. With a session, another statement reads another index.
///
/// The rows are compared whole, so that the index that begins with the session or the tenant is the only one in their order. With
/// `session_id = $3`, an index by id alone has this order too, and may read past all runs of other sessions.
pub async fn run_list(
    c: &mut PgConnection,
    tenant: &TenantId,
    filter: &RunFilter,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Run>, StoreError> {
    let lanes: Vec<String> = filter.lanes.iter().map(|lane| Lane::as_str(*lane).to_owned()).collect();
    let statuses: Vec<String> = filter.statuses.iter().map(|status| RunStatus::as_str(*status).to_owned()).collect();
    let kinds: Vec<String> = filter.kinds.iter().cloned().collect();
    let labels = serde_json::to_string(&filter.labels).map_err(|error| StoreError::defect(error.to_string()))?;
    let before = before.unwrap_or(Uuid::max());
    let rows = match filter.session_id {
        Some(session_id) => {
            run_rows!(
                "FROM ops.runs r
                 WHERE r.tenant_id = $1 AND (r.session_id, r.id) < ($3, $2) AND r.session_id >= $3
                   AND (cardinality($4::text[]) = 0 OR r.lane = ANY ($4::text[]::ops.lane_type[]))
                   AND (cardinality($5::text[]) = 0 OR r.status = ANY ($5))
                   AND (cardinality($6::text[]) = 0 OR r.kind = ANY ($6))
                   AND ($7 = '{}' OR r.labels @> $7::text::jsonb)
                 ORDER BY r.session_id DESC, r.id DESC LIMIT $8",
                tenant.as_str(),
                before,
                session_id,
                &lanes,
                &statuses,
                &kinds,
                labels,
                limit
            )
            .fetch_all(c)
            .await?
        }
        None => {
            run_rows!(
                "FROM ops.runs r
                 WHERE (r.tenant_id, r.id) < ($1, $2) AND r.tenant_id >= $1
                   AND (cardinality($3::text[]) = 0 OR r.lane = ANY ($3::text[]::ops.lane_type[]))
                   AND (cardinality($4::text[]) = 0 OR r.status = ANY ($4))
                   AND (cardinality($5::text[]) = 0 OR r.kind = ANY ($5))
                   AND ($6 = '{}' OR r.labels @> $6::text::jsonb)
                 ORDER BY r.tenant_id DESC, r.id DESC LIMIT $7",
                tenant.as_str(),
                before,
                &lanes,
                &statuses,
                &kinds,
                labels,
                limit
            )
            .fetch_all(c)
            .await?
        }
    };
    rows.into_iter().map(Run::try_from).collect()
}

/// These runs of any tenant, for the watch hub. The hub delivers each run only to watchers of its tenant.
pub async fn run_get_many(c: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<Run>, StoreError> {
    let rows = run_rows!("FROM ops.runs r WHERE r.id = ANY ($1)", ids).fetch_all(c).await?;
    rows.into_iter().map(Run::try_from).collect()
}
