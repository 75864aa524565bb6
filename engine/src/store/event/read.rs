//! Lists the events of a run.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::StoreError;
use crate::domain::TenantId;
use crate::domain::event::{EventLevel, EventPosition, RunEvent};

/// The columns of an event.
#[derive(Debug)]
pub(crate) struct EventRow {
    pub(crate) id: Uuid,
    pub(crate) run_id: Uuid,
    pub(crate) fence: i64,
    pub(crate) seq: i64,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) level: String,
    pub(crate) message: String,
    pub(crate) raw: Option<Vec<u8>>,
    pub(crate) data: Option<String>,
}

impl TryFrom<EventRow> for RunEvent {
    type Error = StoreError;

    fn try_from(row: EventRow) -> Result<Self, StoreError> {
        let level = EventLevel::parse(&row.level)
            .ok_or_else(|| StoreError::defect(format!("event {} has an unknown level: {:?}", row.id, row.level)))?;
        Ok(RunEvent {
            id: row.id,
            run_id: row.run_id,
            position: EventPosition { fence: row.fence, seq: row.seq },
            created_at: row.created_at,
            level,
            message: row.message,
            raw: row.raw,
            data: row.data,
        })
    }
}

/// The first events of a run after a position, with this level or a higher one, in order.
pub async fn event_list(
    c: &mut PgConnection,
    tenant: &TenantId,
    run_id: Uuid,
    after: EventPosition,
    min_level: EventLevel,
    limit: i64,
) -> Result<Vec<RunEvent>, StoreError> {
    sqlx::query_as!(
        EventRow,
        r#"SELECT id, run_id, fence, seq, created_at, level, message, raw, data::text AS "data"
           FROM ops.run_events
           WHERE tenant_id = $1 AND run_id = $2 AND (fence, seq) > ($3, $4) AND level = ANY ($5)
           ORDER BY fence, seq LIMIT $6"#,
        tenant.as_str(),
        run_id,
        after.fence,
        after.seq,
        &levels_from(min_level),
        limit
    )
    .fetch_all(c)
    .await?
    .into_iter()
    .map(RunEvent::try_from)
    .collect()
}

/// The words of this level and of all higher ones.
pub(crate) fn levels_from(min_level: EventLevel) -> Vec<String> {
    EventLevel::ALL.iter().filter(|level| **level >= min_level).map(|level| level.as_str().to_owned()).collect()
}
