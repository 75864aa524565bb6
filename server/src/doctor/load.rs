//! The load of the database: connections, sessions that wait for locks, and tables where vacuum is too slow.

use crate::doctor::Requirements;
use crate::doctor::finding::{Examination, Finding};
use crate::doctor::horizon::shortened;
use crate::doctor::reach::name;
use crate::doctor::session::{ReadError, Session};

/// A table with more dead rows than this is reported, if it has fewer living ones.
const DEAD_ROWS: i64 = 50_000;
/// The age of the oldest transaction that is reported. At about twice this age PostgreSQL refuses writes.
const FREEZE_AGE: i64 = 1_000_000_000;
/// A session that waits longer for a lock waits for a forgotten transaction.
const LOCK_WAIT_MAX_S: f64 = 5.0;

pub async fn check(
    session: &mut Session,
    requirements: &Requirements,
    found: &mut Examination,
) -> Result<(), ReadError> {
    connections(session, requirements, found).await?;
    locks(session, requirements, found).await?;
    held_locks(session, found).await?;
    tables(session, found).await?;
    size(session, found).await
}

async fn connections(
    session: &mut Session,
    requirements: &Requirements,
    found: &mut Examination,
) -> Result<(), ReadError> {
    let (used, of_servers, usable): (i64, i64, i64) = session
        .row(
            // Every role may read these counters, but not the owners of all connections.
            "SELECT (SELECT sum(numbackends)::int8 FROM pg_stat_database) - 1, count(*) FILTER (WHERE application_name = 'ops'), \
             (SELECT sum(CASE name WHEN 'max_connections' THEN setting::int8 ELSE -setting::int8 END)::int8 FROM pg_settings \
             WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections')) \
             FROM pg_stat_activity",
        )
        .await?;
    found.fact("connections", format!("{used} of {usable} used, {of_servers} of them by our servers"));
    // A running server already has its connections.
    let wanted = (i64::from(requirements.connections) - of_servers).max(0);
    if usable - used < wanted && usable >= i64::from(requirements.connections) {
        found.add(Finding::warning(
            "connections-few",
            format!("{} connections are left, and a server may want {wanted} more", (usable - used).max(0)),
            "when they are taken, calls are refused with UNAVAILABLE, and leases can not be renewed",
            format!(
                "ALTER SYSTEM SET max_connections = {}; and a restart; who has them: SELECT application_name, usename, count(*) \
                 FROM pg_stat_activity GROUP BY 1, 2 ORDER BY 3 DESC;",
                (used + wanted) * 2
            ),
        ));
    }
    Ok(())
}

/// A session that waits for a lock, and the sessions that hold it.
#[derive(sqlx::FromRow)]
struct Waiting {
    pid: i32,
    waited_s: f64,
    query: String,
    blockers: Vec<i32>,
    blocked_by: String,
    /// A session of a server waits, and one that is not of a server is in its way.
    concerns_server: bool,
}

async fn locks(session: &mut Session, requirements: &Requirements, found: &mut Examination) -> Result<(), ReadError> {
    let waiting: Vec<Waiting> = session
        .rows(
            "SELECT w.pid, extract(epoch FROM clock_timestamp() - w.query_start)::float8 AS waited_s, \
             coalesce(w.query, '') AS query, pg_blocking_pids(w.pid) AS blockers, \
             coalesce((SELECT string_agg(format('pid %s (%s, %s)', b.pid, coalesce(nullif(b.application_name, ''), 'no name'), \
             coalesce(b.state, 'unknown')), ', ') FROM pg_stat_activity b WHERE b.pid = ANY (pg_blocking_pids(w.pid))), \
             'a transaction that is prepared') AS blocked_by, \
             w.application_name = 'ops' AND NOT coalesce((SELECT bool_and(b.application_name = 'ops') FROM pg_stat_activity b \
             WHERE b.pid = ANY (pg_blocking_pids(w.pid))), false) AS concerns_server \
             FROM pg_stat_activity w WHERE w.datname = current_database() AND w.wait_event_type = 'Lock' \
             AND w.query_start IS NOT NULL ORDER BY w.query_start",
        )
        .await?;
    let timeout = requirements.long_transaction.as_secs_f64().min(LOCK_WAIT_MAX_S);
    // Servers wait for each other for a moment now and then. What others have locked delays calls at once.
    let matters = |it: &Waiting| it.waited_s >= timeout || (it.concerns_server && !it.blockers.is_empty());
    for Waiting { pid, waited_s, query, blockers, blocked_by, .. } in waiting.into_iter().filter(matters) {
        let ends = blockers.iter().filter(|pid| **pid != 0);
        let ends: Vec<_> = ends.map(|pid| format!("SELECT pg_terminate_backend({pid});")).collect();
        found.add(Finding::warning(
            "lock-waits",
            format!("pid {pid} has waited for a lock for {waited_s:.1} s, held by {blocked_by}: {}", shortened(&query)),
            "a session that waits for a lock holds other locks, so soon everything waits",
            if ends.is_empty() { "see pg_prepared_xacts".to_owned() } else { ends.join(" ") },
        ));
    }
    Ok(())
}

/// Sessions that do nothing and keep rows or tables of the schema locked. A call that needs such a lock gives up after 2 s, so none may
/// wait at this moment.
async fn held_locks(session: &mut Session, found: &mut Examination) -> Result<(), ReadError> {
    let holders: Vec<(i32, String, f64, String, String)> = session
        .rows(
            "SELECT a.pid, concat_ws(', ', 'application ' || quote_literal(nullif(a.application_name, '')), 'role ' || a.usename), \
             extract(epoch FROM clock_timestamp() - a.xact_start)::float8, coalesce(a.query, ''), \
             string_agg(DISTINCT 'ops.' || c.relname, ', ') \
             FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid JOIN pg_class c ON c.oid = l.relation \
             WHERE a.datname = current_database() AND a.application_name <> 'ops' AND a.state LIKE 'idle in transaction%' \
             AND l.locktype = 'relation' AND l.granted AND l.mode <> 'AccessShareLock' \
             AND c.relnamespace = to_regnamespace('ops') AND c.relkind IN ('r', 'p') \
             AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
             GROUP BY 1, 2, 3, 4 ORDER BY 3 DESC",
        )
        .await?;
    for (pid, who, age_s, query, tables) in holders {
        found.add(Finding::note(
            "locks-held",
            format!(
                "an idle transaction holds locks on {tables} for {age_s:.1} s: pid {pid}, {who}: {}",
                shortened(&query)
            ),
            "calls that need a row that it has locked are answered ABORTED with DATABASE_BUSY",
            format!("if it was forgotten: SELECT pg_terminate_backend({pid});"),
        ));
    }
    Ok(())
}

async fn tables(session: &mut Session, found: &mut Examination) -> Result<(), ReadError> {
    let tables: Vec<(String, i64, i64, String, bool)> = session
        .rows(
            "SELECT s.relname::text, s.n_dead_tup, s.n_live_tup, \
             coalesce(to_char(greatest(s.last_autovacuum, s.last_vacuum), 'YYYY-MM-DD HH24:MI:SS TZ'), 'never'), \
             coalesce('autovacuum_enabled=false' = ANY (c.reloptions) OR 'autovacuum_enabled=off' = ANY (c.reloptions), false) \
             FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid WHERE s.schemaname = 'ops' ORDER BY 1",
        )
        .await?;
    for (table, dead, living, vacuumed, is_left_out) in tables {
        if is_left_out {
            found.add(Finding::error(
                "table-autovacuum-off",
                format!("autovacuum leaves out ops.{table}"),
                "its dead rows are never removed",
                format!("ALTER TABLE ops.{table} RESET (autovacuum_enabled);"),
            ));
        }
        if dead > DEAD_ROWS && dead > living {
            found.add(Finding::warning(
                "dead-rows",
                format!("ops.{table} has {dead} dead rows and {living} living; last vacuumed: {vacuumed}"),
                "statements read the dead rows to find the living ones",
                format!(
                    "VACUUM (ANALYZE, VERBOSE) ops.{table}; if it removes nothing, a transaction holds the horizon back; if it helps, \
                     let autovacuum run more often: ALTER TABLE ops.{table} SET (autovacuum_vacuum_scale_factor = 0.01);"
                ),
            ));
        }
    }
    Ok(())
}

async fn size(session: &mut Session, found: &mut Examination) -> Result<(), ReadError> {
    let (database, size, age): (String, String, i64) = session
        .row(
            "SELECT datname::text, pg_size_pretty(pg_database_size(oid)), age(datfrozenxid)::int8 FROM pg_database \
             WHERE datname = current_database()",
        )
        .await?;
    found.fact("size", size);
    if age > FREEZE_AGE {
        found.add(Finding::error(
            "freeze-age",
            format!(
                "the oldest transaction of database {} that is not frozen is {age} transactions old",
                name(&database)
            ),
            "at two billion the database stops taking writes to protect itself",
            "VACUUM (FREEZE, VERBOSE); as a superuser, and find out why autovacuum does not do it",
        ));
    }
    Ok(())
}
