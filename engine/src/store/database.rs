//! The identity of the database.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::db::{Db, StoreError};

/// Identifies a database. Two timelines of one database differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseIdentity {
    /// The cluster and the database in it.
    pub database: String,
    /// Rises when a standby is promoted, and when a backup is restored to a point in time.
    pub timeline: i32,
    /// When a server last noticed that the clock had gone back. Instants from before do not compare with those after.
    pub set_back_at: Option<DateTime<Utc>>,
    /// The table of the change feed. A restore into the same database makes another one.
    pub feed: i64,
}

/// The identity of this database, and the time by its clock.
pub async fn database_identity(c: &mut PgConnection) -> Result<(DatabaseIdentity, DateTime<Utc>), StoreError> {
    let row = sqlx::query!(
        r#"SELECT (SELECT system_identifier FROM pg_control_system())::text || '/' || d.oid::text AS "database!",
                  (SELECT timeline_id FROM pg_control_checkpoint()) AS "timeline!",
                  (SELECT set_back_at FROM ops.lease_service) AS set_back_at,
                  'ops.run_changes'::regclass::oid::int8 AS "feed!", clock_timestamp() AS "now!"
           FROM pg_database d WHERE d.datname = current_database()"#
    )
    .fetch_one(&mut *c)
    .await?;
    // The checkpoint tells of a promotion only after minutes. Not every service has files of WAL to name.
    let named = sqlx::query_scalar!(
        r#"SELECT ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int4 AS "timeline!""#
    );
    let timeline = match named.fetch_one(c).await.map_err(StoreError::from) {
        Ok(timeline) => timeline,
        Err(error) if error.is_outage() => return Err(error),
        Err(_) => row.timeline,
    };
    let identity = DatabaseIdentity { database: row.database, timeline, set_back_at: row.set_back_at, feed: row.feed };
    Ok((identity, row.now))
}

/// Commits a write that leaves nothing in a table: proves that the database takes writes, which a read does not.
pub async fn database_probe(c: &mut PgConnection) -> Result<(), StoreError> {
    let written = sqlx::query_scalar!(
        r#"SELECT CASE WHEN current_setting('transaction_read_only')::bool THEN NULL
                  ELSE pg_logical_emit_message(true, 'ops', '')::text END"#
    )
    .fetch_one(c)
    .await?;
    match written {
        Some(_) => Ok(()),
        None => Err(StoreError::Unavailable("the server only reads: transaction_read_only is on".into())),
    }
}

/// Why commits of this database hang, if they wait for a synchronous standby.
pub async fn commits_wait(db: &Db) -> Option<String> {
    let asking = async {
        // With the rights of the login: those of its role do not show for what its other sessions wait.
        let mut c = db.open_plain().await.ok()?;
        let waiting = "SELECT count(*), current_setting('synchronous_standby_names') FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event = 'SyncRep'";
        sqlx::query_as::<_, (i64, String)>(waiting).persistent(false).fetch_one(&mut c).await.ok()
    };
    let (commits, names) = tokio::time::timeout(WAITS_TIMEOUT, asking).await.ok()??;
    (commits > 0).then(|| format!("commits wait for a synchronous standby (synchronous_standby_names = '{names}')"))
}

/// How long asking why commits hang may take.
const WAITS_TIMEOUT: Duration = Duration::from_secs(2);
