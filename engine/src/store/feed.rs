//! The change feed. Reading it by transaction snapshot leaves no gap, whatever the order of commits.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::StoreError;
use crate::domain::TenantId;

/// The position of a reader: it has seen all that is visible in this snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedCursor {
    /// A `pg_snapshot` as text. It ends at the newest transaction in the feed (`durable`).
    pub snapshot: String,
    /// When it was taken, by the database's clock.
    pub taken_at: DateTime<Utc>,
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
}

/// Change rows in one batch. For a reader that is further behind, reading the runs again is cheaper.
const BATCH_ROWS: i64 = 10_000;

/// A cursor at this moment.
pub async fn feed_cursor(c: &mut PgConnection) -> Result<FeedCursor, StoreError> {
    let row = sqlx::query!(
        r#"SELECT pg_current_snapshot()::text AS "snapshot!", clock_timestamp() AS "taken_at!",
                  (SELECT c.xid::text FROM ops.run_changes c ORDER BY c.xid DESC LIMIT 1) AS newest"#
    )
    .fetch_one(c)
    .await?;
    Ok(FeedCursor { snapshot: durable(&row.snapshot, row.newest.as_deref())?, taken_at: row.taken_at })
}

/// The part of a snapshot that survives a crash of the database: the transactions up to the newest in the feed, which is on disk.
/// After a crash PostgreSQL may reuse the number of a later transaction that left nothing on disk. A reader whose snapshot counts that
/// number as seen would miss the second transaction.
fn durable(snapshot: &str, newest: Option<&str>) -> Result<String, StoreError> {
    let number = |text: &str| text.parse::<u64>().map_err(|_| StoreError::defect(format!("snapshot {snapshot}")));
    let parts: Vec<&str> = snapshot.split(':').collect();
    let [xmin, xmax, open] = parts[..] else { return Err(StoreError::defect(format!("snapshot {snapshot}"))) };
    let end = newest.map(number).transpose()?.map_or(1, |newest| newest + 1).min(number(xmax)?);
    let mut still_open = Vec::new();
    for xid in open.split(',').filter(|xid| !xid.is_empty()) {
        if number(xid)? < end {
            still_open.push(xid);
        }
    }
    Ok(format!("{}:{end}:{}", number(xmin)?.min(end), still_open.join(",")))
}

/// All changes that were committed since the cursor. One statement reads the changes and the next cursor, so both have the same snapshot.
///
/// The index scan starts at the cursor's oldest open transaction; the cursor has already seen some of the rows that follow.
pub async fn feed_read(c: &mut PgConnection, cursor: &FeedCursor) -> Result<FeedBatch, StoreError> {
    let row = sqlx::query!(
        r#"WITH last AS (SELECT $1::text::pg_snapshot AS snapshot),
           fresh AS MATERIALIZED (
               SELECT c.tenant_id, c.run_ids, c.event_run_ids
               FROM last, ops.run_changes c
               WHERE c.xid >= pg_snapshot_xmin(last.snapshot) AND NOT pg_visible_in_snapshot(c.xid, last.snapshot)
               LIMIT $2
           ),
           changed AS (SELECT f.tenant_id, r.id FROM fresh f, unnest(f.run_ids) AS r (id))
           SELECT pg_current_snapshot()::text AS "snapshot!", clock_timestamp() AS "taken_at!",
                  (SELECT c.xid::text FROM ops.run_changes c ORDER BY c.xid DESC LIMIT 1) AS newest,
                  (SELECT count(*) FROM fresh) AS "rows!", ARRAY(SELECT tenant_id FROM changed) AS "tenants!", ARRAY(SELECT id FROM changed) AS "run_ids!",
                  ARRAY(SELECT DISTINCT e.id FROM fresh f, unnest(f.event_run_ids) AS e (id)) AS "event_run_ids!""#,
        cursor.snapshot,
        BATCH_ROWS
    )
    .fetch_one(c)
    .await?;
    Ok(FeedBatch {
        overflown: row.rows == BATCH_ROWS,
        run_ids: row.tenants.into_iter().zip(row.run_ids).collect(),
        event_run_ids: row.event_run_ids,
        cursor: FeedCursor { snapshot: durable(&row.snapshot, row.newest.as_deref())?, taken_at: row.taken_at },
    })
}

/// Identifies a database. Two timelines of one database differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseIdentity {
    /// The cluster and the database in it.
    pub database: String,
    /// Rises when a standby is promoted.
    pub timeline: i32,
}

/// The identity of this database, and the time by its clock.
pub async fn database_identity(c: &mut PgConnection) -> Result<(DatabaseIdentity, DateTime<Utc>), StoreError> {
    let row = sqlx::query!(
        r#"SELECT (SELECT system_identifier FROM pg_control_system())::text || '/' || d.oid::text AS "database!",
                  (SELECT timeline_id FROM pg_control_checkpoint()) AS "timeline!", clock_timestamp() AS "now!"
           FROM pg_database d WHERE d.datname = current_database()"#
    )
    .fetch_one(c)
    .await?;
    Ok((DatabaseIdentity { database: row.database, timeline: row.timeline }, row.now))
}

/// Deletes changes that are older than an hour. Returns how many.
pub async fn feed_prune(c: &mut PgConnection) -> Result<u64, StoreError> {
    let pruned = sqlx::query!(
        "DELETE FROM ops.run_changes WHERE id IN (
             SELECT id FROM ops.run_changes WHERE created_at < now() - interval '1 hour' ORDER BY id LIMIT 10000
             FOR UPDATE SKIP LOCKED)"
    )
    .execute(c)
    .await?;
    Ok(pruned.rows_affected())
}

/// Sends a wakeup to the other servers, with the id of this server. It is sent after the commit, in a statement of its own.
pub async fn wakeup_send(c: &mut PgConnection, channels: &[&str], server_id: Uuid) -> Result<(), StoreError> {
    let channels: Vec<String> = channels.iter().map(|channel| (*channel).to_owned()).collect();
    sqlx::query!(
        "SELECT pg_notify(channel, $2) FROM unnest($1::text[]) AS n (channel)",
        &channels,
        server_id.to_string()
    )
    .execute(c)
    .await?;
    Ok(())
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
}
