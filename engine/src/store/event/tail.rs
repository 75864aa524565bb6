//! Reads the events of a run for its tails.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::StoreError;
use crate::domain::TenantId;
use crate::domain::event::{EventLevel, EventPosition, RunEvent};
use crate::domain::tail::{Gap, TailStep};
use crate::store::event::read::{EventRow, levels_from};

/// The columns of an event, with a step of a tail. Without its content if its level is too low.
#[derive(Debug)]
struct StepRow {
    id: Uuid,
    run_id: Uuid,
    fence: i64,
    seq: i64,
    created_at: chrono::DateTime<chrono::Utc>,
    level: String,
    wanted: bool,
    before: i64,
    message: Option<String>,
    raw: Option<Vec<u8>>,
    data: Option<String>,
}

impl TryFrom<StepRow> for TailStep {
    type Error = StoreError;

    fn try_from(row: StepRow) -> Result<Self, StoreError> {
        let StepRow { id, run_id, fence, seq, created_at, level, wanted, before, message, raw, data } = row;
        let message = message.unwrap_or_default();
        let event = EventRow { id, run_id, fence, seq, created_at, level, message, raw, data };
        let event = wanted.then(|| RunEvent::try_from(event)).transpose()?;
        Ok(TailStep { position: EventPosition { fence, seq }, before, event })
    }
}

/// The next events of a run after a position: those with this level or a higher one, and those behind a gap.
pub async fn event_tail(
    c: &mut PgConnection,
    tenant: &TenantId,
    run_id: Uuid,
    after: EventPosition,
    min_level: EventLevel,
    limit: i64,
) -> Result<Vec<TailStep>, StoreError> {
    sqlx::query_as!(
        StepRow,
        r#"SELECT id AS "id!", run_id AS "run_id!", fence AS "fence!", seq AS "seq!", created_at AS "created_at!", level AS "level!",
                  wanted AS "wanted!", before AS "before!",
                  CASE WHEN wanted THEN message END AS message, CASE WHEN wanted THEN raw END AS raw,
                  CASE WHEN wanted THEN data::text END AS data
           FROM (
               SELECT e.*, e.level = ANY ($5) AS wanted,
                      lag(e.seq, 1, CASE WHEN e.fence = $3 THEN $4::bigint ELSE 0 END)
                          OVER (PARTITION BY e.fence ORDER BY e.seq) AS before
               FROM ops.run_events e
               WHERE e.tenant_id = $1 AND e.run_id = $2 AND (e.fence, e.seq) > ($3, $4)
           ) e
           WHERE wanted OR seq - 1 > before
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
    .map(TailStep::try_from)
    .collect()
}

/// The first events of a run in these gaps.
pub async fn event_in_gaps(
    c: &mut PgConnection,
    tenant: &TenantId,
    run_id: Uuid,
    gaps: &[Gap],
    min_level: EventLevel,
    limit: i64,
) -> Result<Vec<TailStep>, StoreError> {
    sqlx::query_as!(
        StepRow,
        r#"SELECT e.id AS "id!", e.run_id AS "run_id!", e.fence AS "fence!", e.seq AS "seq!", e.created_at AS "created_at!",
                  e.level AS "level!", w.wanted AS "wanted!", 0::bigint AS "before!",
                  CASE WHEN w.wanted THEN e.message END AS message, CASE WHEN w.wanted THEN e.raw END AS raw,
                  CASE WHEN w.wanted THEN e.data::text END AS data
           FROM unnest($3::bigint[], $4::bigint[], $5::bigint[]) AS g (fence, first, last)
           CROSS JOIN LATERAL (
               SELECT * FROM ops.run_events
               WHERE tenant_id = $1 AND run_id = $2 AND fence = g.fence AND seq BETWEEN g.first AND g.last
               ORDER BY seq LIMIT $7) e
           CROSS JOIN LATERAL (SELECT e.level = ANY ($6) AS wanted) w
           ORDER BY e.fence, e.seq LIMIT $7"#,
        tenant.as_str(),
        run_id,
        &gaps.iter().map(|gap| gap.fence).collect::<Vec<_>>(),
        &gaps.iter().map(|gap| gap.first).collect::<Vec<_>>(),
        &gaps.iter().map(|gap| gap.last).collect::<Vec<_>>(),
        &levels_from(min_level),
        limit
    )
    .fetch_all(c)
    .await?
    .into_iter()
    .map(TailStep::try_from)
    .collect()
}
