//! Artifacts: insert, read and list.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::StoreError;
use crate::domain::TenantId;
use crate::domain::artifact::{Artifact, ArtifactContent, ArtifactParent, NewArtifact};

#[derive(Debug)]
struct ArtifactRow {
    id: Uuid,
    run_id: Uuid,
    kind: String,
    name: String,
    mime_type: String,
    size_bytes: Option<i64>,
    content_text: Option<String>,
    content_url: Option<String>,
    metadata: String,
    created_at: DateTime<Utc>,
}

/// A checked query of the artifacts `a`, with the given expression for their texts.
macro_rules! artifact_rows {
    ($text:literal, $from:literal, $($argument:expr),*) => {
        sqlx::query_as!(
            ArtifactRow,
            r#"SELECT a.id, a.run_id, a.kind, a.name, coalesce(a.mime_type, '') AS "mime_type!", a.size_bytes, "# + $text
                + r#" AS "content_text?", a.content_url, coalesce(a.metadata, '{}')::text AS "metadata!", a.created_at "#
                + $from,
            $($argument),*
        )
    };
}

impl From<ArtifactRow> for Artifact {
    fn from(row: ArtifactRow) -> Self {
        let content = match (row.content_text, row.content_url) {
            (_, Some(url)) => ArtifactContent::Url(url),
            (Some(text), None) => ArtifactContent::Text(text),
            (None, None) => ArtifactContent::TextLeftOut,
        };
        Artifact {
            id: row.id,
            run_id: row.run_id,
            kind: row.kind,
            name: row.name,
            mime_type: row.mime_type,
            size_bytes: row.size_bytes,
            content,
            metadata: row.metadata,
            created_at: row.created_at,
        }
    }
}

/// Inserts an artifact under the given id if the run exists and, for a worker, the grant is still valid. Returns whether it
/// did.
pub async fn artifact_insert(
    c: &mut PgConnection,
    tenant: &TenantId,
    id: Uuid,
    artifact: &NewArtifact,
) -> Result<bool, StoreError> {
    let (text, url) = match &artifact.content {
        ArtifactContent::Text(text) => (Some(text.as_str()), None),
        ArtifactContent::Url(url) => (None, Some(url.as_str())),
        ArtifactContent::TextLeftOut => (None, None),
    };
    let (worker_id, fence) = artifact.grant.unzip();
    let done = sqlx::query!(
        "INSERT INTO ops.artifacts (id, tenant_id, run_id, kind, name, mime_type, content_text, content_url, size_bytes, metadata)
         SELECT $1, r.tenant_id, r.id, $4, $5, $6, $7, $8, octet_length($7), $9::text::jsonb
         FROM ops.runs r
         WHERE r.tenant_id = $2 AND r.id = $3
           AND ($10::uuid IS NULL OR (r.status IN ('claimed', 'running') AND r.worker_id = $10 AND r.fence = $11))",
        id,
        tenant.as_str(),
        artifact.run_id,
        artifact.kind,
        artifact.name,
        artifact.mime_type,
        text,
        url,
        artifact.metadata,
        worker_id,
        fence
    )
    .execute(c)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// One artifact with its text.
pub async fn artifact_get(c: &mut PgConnection, tenant: &TenantId, id: Uuid) -> Result<Option<Artifact>, StoreError> {
    let row = artifact_rows!(
        "a.content_text",
        "FROM ops.artifacts a WHERE a.tenant_id = $1 AND a.id = $2",
        tenant.as_str(),
        id
    );
    Ok(row.fetch_optional(c).await?.map(Artifact::from))
}

/// The newest artifacts of a run or a session, older than `before`, without their texts. Those of a session are found run by run.
pub async fn artifact_list(
    c: &mut PgConnection,
    tenant: &TenantId,
    parent: ArtifactParent,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Artifact>, StoreError> {
    let before = before.unwrap_or(Uuid::max());
    let rows = match parent {
        ArtifactParent::Run(run_id) => {
            artifact_rows!(
                "NULL::text",
                "FROM ops.artifacts a
                 WHERE a.tenant_id = $1 AND (a.run_id, a.id) < ($2, $3) AND a.run_id >= $2
                 ORDER BY a.run_id DESC, a.id DESC LIMIT $4",
                tenant.as_str(),
                run_id,
                before,
                limit
            )
            .fetch_all(c)
            .await?
        }
        ArtifactParent::Session(session_id) => {
            artifact_rows!(
                "NULL::text",
                "FROM (
                     SELECT own.id FROM ops.runs r
                     CROSS JOIN LATERAL (
                         SELECT id FROM ops.artifacts WHERE (run_id, id) < (r.id, $3) AND run_id >= r.id
                         ORDER BY run_id DESC, id DESC LIMIT $4) own
                     WHERE r.session_id = $2 AND r.tenant_id IS NOT DISTINCT FROM $1
                     ORDER BY own.id DESC LIMIT $4) n
                 CROSS JOIN LATERAL (SELECT * FROM ops.artifacts WHERE id = n.id LIMIT 1) a
                 ORDER BY n.id DESC",
                tenant.as_str(),
                session_id,
                before,
                limit
            )
            .fetch_all(c)
            .await?
        }
    };
    Ok(rows.into_iter().map(Artifact::from).collect())
}
