//! Waiting for sessions that wait for a lock, and writes that fail as behind one.

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

/// From now on no start is written: each try fails as behind a lock. Workers are sent their Starts all the same.
pub async fn hold_starts(sql: &mut PgConnection) {
    let trigger = "CREATE FUNCTION public.hold_starts() RETURNS trigger LANGUAGE plpgsql AS $$
                   BEGIN
                       IF current_query() LIKE '%Records starts that were sent%' THEN
                           RAISE EXCEPTION 'starts are held' USING ERRCODE = 'lock_not_available';
                       END IF;
                       RETURN NULL;
                   END $$;
                   CREATE TRIGGER hold_starts BEFORE UPDATE ON ops.runs
                       FOR EACH STATEMENT EXECUTE FUNCTION public.hold_starts()";
    sqlx::raw_sql(trigger).execute(sql).await.expect("starts are held");
}
