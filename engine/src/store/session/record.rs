//! Creates, reads and changes sessions.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::StoreError;
use crate::domain::session::{NewSession, SessionPatch, SessionStatus};
use crate::domain::{Session, TenantId};

#[derive(Debug)]
struct SessionRow {
    id: Uuid,
    name: String,
    description: String,
    triggered_by: String,
    status: String,
    total_runs: i64,
    succeeded_runs: i64,
    failed_runs: i64,
    cancelled_runs: i64,
    context: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    closed_at: Option<DateTime<Utc>>,
}

/// A checked query of the sessions `s`. A counter is the folded sum plus the deltas that are not folded yet. One statement reads
/// both in one snapshot, so the counters are exact.
macro_rules! session_rows {
    ($from:literal, $($argument:expr),*) => {
        sqlx::query_as!(
            SessionRow,
            r#"SELECT s.id, s.name, s.description, s.triggered_by, s.status,
                (s.total_runs + d.total)::bigint AS "total_runs!",
                (s.succeeded_runs + d.succeeded)::bigint AS "succeeded_runs!",
                (s.failed_runs + d.failed)::bigint AS "failed_runs!",
                (s.cancelled_runs + d.cancelled)::bigint AS "cancelled_runs!",
                s.context::text AS "context!", s.created_at, s.updated_at, s.closed_at "# + $from + "
               CROSS JOIN LATERAL (
                   SELECT coalesce(sum(total), 0) AS total, coalesce(sum(succeeded), 0) AS succeeded,
                          coalesce(sum(failed), 0) AS failed, coalesce(sum(cancelled), 0) AS cancelled
                   FROM ops.session_deltas WHERE tenant_id = $1 AND session_id = s.id) d
               ORDER BY s.tenant_id DESC, s.id DESC",
            $($argument),*
        )
    };
}

impl TryFrom<SessionRow> for Session {
    type Error = StoreError;

    fn try_from(row: SessionRow) -> Result<Self, StoreError> {
        let status = SessionStatus::parse(&row.status)
            .ok_or_else(|| StoreError::defect(format!("session {} has an unknown status: {:?}", row.id, row.status)))?;
        Ok(Session {
            id: row.id,
            name: row.name,
            description: row.description,
            triggered_by: row.triggered_by,
            status,
            total_runs: row.total_runs,
            succeeded_runs: row.succeeded_runs,
            failed_runs: row.failed_runs,
            cancelled_runs: row.cancelled_runs,
            context: row.context,
            created_at: row.created_at,
            updated_at: row.updated_at,
            closed_at: row.closed_at,
        })
    }
}

/// Inserts a session under the given id.
pub async fn session_insert(
    c: &mut PgConnection,
    tenant: &TenantId,
    id: Uuid,
    session: &NewSession,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO ops.sessions (id, tenant_id, name, description, triggered_by, context)
         VALUES ($1, $2, $3, $4, $5, $6::text::jsonb)",
        id,
        tenant.as_str(),
        session.name,
        session.description,
        session.triggered_by,
        session.context
    )
    .execute(c)
    .await?;
    Ok(())
}

/// One session with its exact counters.
pub async fn session_get(c: &mut PgConnection, tenant: &TenantId, id: Uuid) -> Result<Option<Session>, StoreError> {
    session_rows!("FROM (SELECT * FROM ops.sessions WHERE tenant_id = $1 AND id = $2) s", tenant.as_str(), id)
        .fetch_optional(c)
        .await?
        .map(Session::try_from)
        .transpose()
}

/// Whether the tenant has this session.
pub async fn session_exists(c: &mut PgConnection, tenant: &TenantId, id: Uuid) -> Result<bool, StoreError> {
    let row = sqlx::query!("SELECT id FROM ops.sessions WHERE tenant_id = $1 AND id = $2", tenant.as_str(), id);
    Ok(row.fetch_optional(c).await?.is_some())
}

/// The newest sessions of some statuses (none = all), older than `before`.
pub async fn session_list(
    c: &mut PgConnection,
    tenant: &TenantId,
    statuses: &[SessionStatus],
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Session>, StoreError> {
    let statuses: Vec<String> = statuses.iter().map(|status| status.as_str().to_owned()).collect();
    session_rows!(
        "FROM (SELECT * FROM ops.sessions
               WHERE (tenant_id, id) < ($1, $2) AND tenant_id >= $1 AND (cardinality($3::text[]) = 0 OR status = ANY ($3))
               ORDER BY tenant_id DESC, id DESC LIMIT $4) s",
        tenant.as_str(),
        before.unwrap_or(Uuid::max()),
        &statuses,
        limit
    )
    .fetch_all(c)
    .await?
    .into_iter()
    .map(Session::try_from)
    .collect()
}

/// Changes the fields that the patch names. Returns whether the session exists.
pub async fn session_update(
    c: &mut PgConnection,
    tenant: &TenantId,
    id: Uuid,
    patch: &SessionPatch,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "UPDATE ops.sessions
         SET name = coalesce($3, name), description = coalesce($4, description),
             context = coalesce($5::text::jsonb, context), updated_at = now()
         WHERE tenant_id = $1 AND id = $2",
        tenant.as_str(),
        id,
        patch.name,
        patch.description,
        patch.context
    )
    .execute(c)
    .await?;
    Ok(done.rows_affected() > 0)
}
