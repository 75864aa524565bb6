//! The identity of the database.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::db::StoreError;

/// Identifies a database. Two timelines of one database differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseIdentity {
    /// The cluster and the database in it.
    pub database: String,
    /// Rises when a standby is promoted.
    pub timeline: i32,
    /// When a server last noticed that the clock had gone back. Instants from before do not compare with those after.
    pub set_back_at: Option<DateTime<Utc>>,
}

/// The identity of this database, and the time by its clock.
pub async fn database_identity(c: &mut PgConnection) -> Result<(DatabaseIdentity, DateTime<Utc>), StoreError> {
    let row = sqlx::query!(
        r#"SELECT (SELECT system_identifier FROM pg_control_system())::text || '/' || d.oid::text AS "database!",
                  (SELECT timeline_id FROM pg_control_checkpoint()) AS "timeline!", clock_timestamp() AS "now!",
                  (SELECT set_back_at FROM ops.lease_service) AS set_back_at
           FROM pg_database d WHERE d.datname = current_database()"#
    )
    .fetch_one(c)
    .await?;
    Ok((DatabaseIdentity { database: row.database, timeline: row.timeline, set_back_at: row.set_back_at }, row.now))
}
