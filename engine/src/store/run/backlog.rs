//! Counts of runs and ages of foreign transactions, for metrics.

use sqlx::PgConnection;

use crate::db::StoreError;

/// Each count ends here.
const COUNTED: i64 = 10_000;

/// The number of runs in a state and a lane. For ready runs, also for how many seconds the oldest is due.
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

/// The oldest transactions of other programs in this database.
#[derive(Debug, Clone, Default)]
pub struct Foreign {
    /// The age of the oldest open transaction that this role may see.
    pub transaction_seconds: f64,
    /// The age of the oldest snapshot, in transactions. Vacuum can not remove rows that were deleted since.
    pub snapshot_transactions: i32,
}

/// The oldest transaction and snapshot of connections that are no server's.
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
