//! Which database this is.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::db::StoreError;

/// Which database this is: two databases differ, and so do two timelines of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseIdentity {
    /// The cluster and the database in it.
    pub database: String,
    /// Raised when a stand-by is promoted.
    pub timeline: i32,
}

/// Which database this is, and its clock.
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
