//! The change feed. Reading it by transaction snapshot leaves no gap, whatever the order of commits.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::StoreError;
use crate::domain::TenantId;

/// How long a change is kept. An older cursor misses changes.
pub const CHANGES_KEPT: Duration = Duration::from_secs(60 * 60);

/// The position of a reader: it has seen all that is visible in this snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedCursor {
    /// A `pg_snapshot` as text. It ends at the newest transaction in the feed (`durable`).
    snapshot: String,
    /// When it was taken, by the database's clock.
    pub taken_at: DateTime<Utc>,
    /// The table that it reads.
    pub feed: i64,
}

impl FeedCursor {
    /// Reads a cursor that a client sent. Returns `None` if PostgreSQL would not accept it.
    pub fn parse(snapshot: &str, taken_at: DateTime<Utc>, feed: i64) -> Option<Self> {
        let snapshot = Snapshot::parse(snapshot)?.to_string();
        Some(Self { snapshot, taken_at, feed })
    }

    /// The text from which `parse` makes the cursor again.
    pub fn snapshot(&self) -> &str {
        &self.snapshot
    }
}

/// A `pg_snapshot`: `xmin:xmax:xid,xid`. It has seen the transactions before `xmax`, except those that were open.
struct Snapshot {
    xmin: i64,
    xmax: i64,
    /// Ascending.
    open: Vec<i64>,
}

impl Snapshot {
    fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let [xmin, xmax, open] = parts[..] else { return None };
        let (xmin, xmax) = (number(xmin)?, number(xmax)?);
        let open: Vec<i64> = match open {
            "" => Vec::new(),
            open => open.split(',').map(number).collect::<Option<_>>()?,
        };
        let ascends = open.iter().zip(open.iter().skip(1)).all(|(xid, next)| xid < next);
        let within = open.iter().all(|xid| (xmin..xmax).contains(xid));
        (xmin > 0 && xmin <= xmax && ascends && within).then_some(Self { xmin, xmax, open })
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open: Vec<String> = self.open.iter().map(i64::to_string).collect();
        write!(f, "{}:{}:{}", self.xmin, self.xmax, open.join(","))
    }
}

/// The number of a transaction: only digits, and no more than PostgreSQL takes.
fn number(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// What was committed since a cursor.
#[derive(Debug, Clone)]
pub struct FeedBatch {
    /// Runs that changed; a run may come twice.
    pub run_ids: Vec<(String, Uuid)>,
    /// Runs that have new events.
    pub event_run_ids: Vec<Uuid>,
    /// There were more changes than a batch takes. The rest is skipped.
    pub overflown: bool,
    /// The next cursor.
    pub cursor: FeedCursor,
    /// The cursor that was read from is not of this feed: the database was restored, or has gone back. What changed is not known.
    pub is_other: bool,
}

/// Change rows in one batch. For a reader that is further behind, reading the runs again is cheaper.
const BATCH_ROWS: i64 = 10_000;

/// A cursor at this moment.
pub async fn feed_cursor(c: &mut PgConnection) -> Result<FeedCursor, StoreError> {
    let row = sqlx::query!(
        r#"SELECT pg_current_snapshot()::text AS "snapshot!", clock_timestamp() AS "taken_at!",
                  'ops.run_changes'::regclass::oid::int8 AS "feed!",
                  (SELECT c.xid::text FROM ops.run_changes c WHERE c.xid < pg_snapshot_xmax(pg_current_snapshot())
                   ORDER BY c.xid DESC LIMIT 1) AS newest"#
    )
    .fetch_one(c)
    .await?;
    let snapshot = durable(&row.snapshot, row.newest.as_deref())?;
    Ok(FeedCursor { snapshot, taken_at: row.taken_at, feed: row.feed })
}

/// The part of a snapshot that survives a crash of the database: the transactions up to the newest in the feed, which is on disk.
/// After a crash PostgreSQL may reuse the number of a later transaction that left nothing on disk. A reader whose snapshot counts that
/// number as seen would miss the second transaction.
fn durable(snapshot: &str, newest: Option<&str>) -> Result<String, StoreError> {
    let defect = |text: &str| StoreError::defect(format!("snapshot {text}"));
    let Snapshot { xmin, xmax, open } = Snapshot::parse(snapshot).ok_or_else(|| defect(snapshot))?;
    let newest = newest.map(|newest| number(newest).ok_or_else(|| defect(newest))).transpose()?;
    let xmax = newest.map_or(1, |newest| newest + 1).min(xmax);
    let open = open.into_iter().filter(|xid| *xid < xmax).collect();
    Ok(Snapshot { xmin: xmin.min(xmax), xmax, open }.to_string())
}

/// All changes that were committed since the cursor. One statement reads the changes and the next cursor, so both have the same snapshot.
///
/// The index scan starts at the cursor's oldest open transaction; the cursor has already seen some of the rows that follow. It ends at
/// the present: rows with later transactions come from another cluster, whose dump was restored here.
pub async fn feed_read(c: &mut PgConnection, cursor: &FeedCursor) -> Result<FeedBatch, StoreError> {
    let row = sqlx::query!(
        r#"WITH last AS (SELECT $1::text::pg_snapshot AS snapshot),
           fresh AS MATERIALIZED (
               SELECT c.tenant_id, c.run_ids, c.event_run_ids
               FROM last, ops.run_changes c
               WHERE c.xid >= pg_snapshot_xmin(last.snapshot) AND NOT pg_visible_in_snapshot(c.xid, last.snapshot)
                 AND c.xid < pg_snapshot_xmax(pg_current_snapshot())
               LIMIT $2
           ),
           changed AS (SELECT f.tenant_id, r.id FROM fresh f, unnest(f.run_ids) AS r (id))
           SELECT pg_current_snapshot()::text AS "snapshot!", clock_timestamp() AS "taken_at!",
                  'ops.run_changes'::regclass::oid::int8 AS "feed!",
                  (SELECT c.xid::text FROM ops.run_changes c WHERE c.xid < pg_snapshot_xmax(pg_current_snapshot())
                   ORDER BY c.xid DESC LIMIT 1) AS newest,
                  (SELECT count(*) FROM fresh) AS "rows!", ARRAY(SELECT tenant_id FROM changed) AS "tenants!", ARRAY(SELECT id FROM changed) AS "run_ids!",
                  ARRAY(SELECT DISTINCT e.id FROM fresh f, unnest(f.event_run_ids) AS e (id)) AS "event_run_ids!""#,
        cursor.snapshot,
        BATCH_ROWS
    )
    .fetch_one(c)
    .await?;
    let xmax = |text: &str| Snapshot::parse(text).map(|snapshot| snapshot.xmax);
    Ok(FeedBatch {
        is_other: row.feed != cursor.feed || xmax(&row.snapshot) < xmax(&cursor.snapshot),
        overflown: row.rows == BATCH_ROWS,
        run_ids: row.tenants.into_iter().zip(row.run_ids).collect(),
        event_run_ids: row.event_run_ids,
        cursor: FeedCursor {
            snapshot: durable(&row.snapshot, row.newest.as_deref())?,
            taken_at: row.taken_at,
            feed: row.feed,
        },
    })
}

/// Deletes the changes that are older than `CHANGES_KEPT`. Returns how many.
pub async fn feed_prune(c: &mut PgConnection) -> Result<u64, StoreError> {
    let pruned = sqlx::query!(
        "DELETE FROM ops.run_changes WHERE id IN (
             SELECT id FROM ops.run_changes WHERE created_at < now() - $1::bigint * interval '1 s' ORDER BY id LIMIT 10000
             FOR UPDATE SKIP LOCKED)",
        CHANGES_KEPT.as_secs() as i64
    )
    .execute(c)
    .await?;
    Ok(pruned.rows_affected())
}

/// The runs of a tenant that changed since a cursor, each once, up to `limit`.
pub async fn feed_changed_since(
    c: &mut PgConnection,
    tenant: &TenantId,
    cursor: &FeedCursor,
    limit: i64,
) -> Result<Vec<Uuid>, StoreError> {
    let rows = sqlx::query_scalar!(
        r#"SELECT DISTINCT r.id AS "id!"
           FROM (SELECT $2::text::pg_snapshot AS snapshot) last
           JOIN ops.run_changes c
             ON c.xid >= pg_snapshot_xmin(last.snapshot) AND NOT pg_visible_in_snapshot(c.xid, last.snapshot)
            AND c.xid < pg_snapshot_xmax(pg_current_snapshot())
           CROSS JOIN LATERAL unnest(c.run_ids) AS r (id)
           WHERE c.tenant_id = $1
           LIMIT $3"#,
        tenant.as_str(),
        cursor.snapshot,
        limit
    )
    .fetch_all(c)
    .await?;
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_keeps_the_part_of_a_snapshot_that_is_on_disk() {
        for (snapshot, newest, kept) in [
            ("10:20:11,15", Some("19"), "10:20:11,15"),
            ("10:20:11,15", Some("25"), "10:20:11,15"),
            ("10:20:11,15", Some("15"), "10:16:11,15"),
            ("10:20:11,15", Some("14"), "10:15:11"),
            ("10:20:", Some("9"), "10:10:"),
            ("10:20:15", Some("5"), "6:6:"),
            ("10:20:15", None, "1:1:"),
        ] {
            assert_eq!(durable(snapshot, newest).expect("it is a snapshot"), kept, "{snapshot} {newest:?}");
        }
        for bad in ["", "10", "10:20", "a:20:", "10:b:", "10:20:c"] {
            assert!(durable(bad, Some("30")).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_snapshots_are_cursors() {
        let parse = |text: &str| FeedCursor::parse(text, DateTime::UNIX_EPOCH, 0);
        for good in ["10:20:", "10:10:", "10:20:10,19"] {
            assert_eq!(parse(good).expect(good).snapshot(), good);
        }
        for bad in [
            "",
            "10",
            "10:20",
            "20:10:",
            "10:20:9",
            "10:20:20",
            "10:20:12,11",
            "10:20:11,11",
            "10:20:11,",
            "0:1:",
            "-1:2:",
            "1:2:3:4",
            "a:b:",
            "+1:2:",
            "1:99999999999999999999:",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
