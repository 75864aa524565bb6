//! Time that passes in the database. All deadlines go by its clock, so a test moves the stored times back instead of
//! waiting.

use sqlx::PgConnection;

use super::{Fixture, eventually};

/// Makes leases, heartbeats, cancels and the lease service older by this much.
pub async fn passes(c: &mut PgConnection, seconds: i32) {
    let statements = [
        "UPDATE ops.runs SET heartbeat_at = heartbeat_at - make_interval(secs => $1) WHERE lease_ms IS NOT NULL",
        "UPDATE ops.run_leases SET due_at = due_at - make_interval(secs => $1)",
        "UPDATE ops.workers SET heartbeat_at = heartbeat_at - make_interval(secs => $1)",
        "UPDATE ops.run_cancels SET requested_at = requested_at - make_interval(secs => $1)",
        "UPDATE ops.lease_service SET resumed_at = resumed_at - make_interval(secs => $1)",
    ];
    for statement in statements {
        sqlx::query(statement).bind(seconds).execute(&mut *c).await.expect("time passes");
    }
}

/// Lets this much time pass without a lease check by any server.
pub async fn passes_unserved(c: &mut PgConnection, seconds: i32) {
    passes(c, seconds).await;
    let statement = "UPDATE ops.lease_service SET checked_at = checked_at - make_interval(secs => $1)";
    sqlx::query(statement).bind(seconds).execute(c).await.expect("time passes");
}

/// Waits for two lease checks from now on, so that one whole check has seen everything that exists now.
pub async fn two_lease_checks(fixture: &Fixture) {
    let mut sql = fixture.sql().await;
    for _ in 0..2 {
        let statement = "SELECT extract(epoch FROM checked_at)::float8 FROM ops.lease_service";
        let before: f64 = sqlx::query_scalar(statement).fetch_one(&mut sql).await.expect("it is read");
        eventually("a lease check", async || {
            let now: f64 = sqlx::query_scalar(statement).fetch_one(&mut sql).await.expect("it is read");
            (now != before).then_some(())
        })
        .await;
    }
}
