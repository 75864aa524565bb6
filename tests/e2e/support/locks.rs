//! Waiting for sessions that wait for a lock.

use sqlx::PgConnection;

use super::{Fixture, eventually};

/// Waits until this many sessions of the fixture wait for a lock.
pub async fn waiting_for_locks(fixture: &Fixture, sql: &mut PgConnection, sessions: i64) {
    eventually("sessions wait for a lock", async || {
        let statement = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock'";
        let waiting = sqlx::query_scalar(statement).bind(&fixture.database.name).fetch_one(&mut *sql).await;
        let waiting: i64 = waiting.expect("it is counted");
        (waiting >= sessions).then_some(())
    })
    .await;
}
