//! What waits and what is in the way, for who looks at the whole.

use sqlx::PgConnection;

use crate::db::StoreError;

/// More than this is not counted, in any state.
const COUNTED: i64 = 10_000;

/// How many runs are in a state and a lane; of ready ones, how long the oldest is due.
#[derive(Debug, Clone)]
pub struct Backlog {
    pub state: String,
    pub lane: String,
    pub runs: i64,
    pub age_seconds: Option<f64>,
}

/// Runs that have not ended, by state and lane.
pub async fn backlog(c: &mut PgConnection) -> Result<Vec<Backlog>, StoreError> {
    Ok(sqlx::query_file_as!(Backlog, "src/store/run/backlog.sql", COUNTED).fetch_all(c).await?)
}

/// What others have open in this database.
#[derive(Debug, Clone, Default)]
pub struct Foreign {
    /// How long the oldest transaction is open, of those that this role may see.
    pub transaction_seconds: f64,
    /// How many transactions ago the oldest snapshot was taken. Nothing that was deleted since can be cleaned up.
    pub snapshot_transactions: i32,
}

/// The oldest of what others have open: nobody of them is a server.
pub async fn foreign_oldest(c: &mut PgConnection) -> Result<Foreign, StoreError> {
    let oldest = sqlx::query_as!(
        Foreign,
        r#"SELECT coalesce(extract(epoch FROM clock_timestamp() - min(xact_start)), 0)::double precision
                      AS "transaction_seconds!",
                  coalesce(max(age(backend_xmin)), 0) AS "snapshot_transactions!"
           FROM pg_stat_activity
           WHERE datname = current_database() AND application_name <> 'ops'"#
    );
    Ok(oldest.fetch_one(c).await?)
}
