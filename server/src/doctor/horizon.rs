//! What holds the vacuum horizon back: while a transaction is open, no row that died after its begin can be vacuumed. A queue
//! produces many dead rows.

use crate::doctor::Requirements;
use crate::doctor::finding::{Examination, Finding};
use crate::doctor::session::{ReadError, Session};

const WHY: &str =
    "no row that died since then can be vacuumed: tables and indexes grow, and each claim reads more dead rows";

/// The most characters of a query that are shown.
const QUERY_CHARACTERS: usize = 80;

pub async fn check(
    session: &mut Session,
    requirements: &Requirements,
    found: &mut Examination,
) -> Result<(), ReadError> {
    visibility(session, found).await?;
    transactions(session, requirements, found).await?;
    prepared(session, requirements, found).await?;
    slots(session, found).await
}

/// Whether this role sees the activity of other roles. A server becomes ops_engine, so a grant to that role serves both.
async fn visibility(session: &mut Session, found: &mut Examination) -> Result<(), ReadError> {
    let (sees, user, inherits): (bool, String, bool) = session
        .row(
            "SELECT pg_has_role('pg_read_all_stats', 'USAGE'), quote_ident(session_user), \
             EXISTS (SELECT FROM pg_roles WHERE rolname = 'ops_engine' AND pg_has_role(session_user, oid, 'USAGE'))",
        )
        .await?;
    if !sees {
        found.add(Finding::note(
            "activity-hidden",
            format!("role {user} does not see the activity of other roles"),
            "a long transaction of another role is not found here, nor counted in ops_foreign_transaction_seconds",
            if inherits {
                "as a superuser: GRANT pg_read_all_stats TO ops_engine;".to_owned()
            } else {
                format!(
                    "as a superuser: GRANT pg_read_all_stats TO {user}; the metric needs the same grant to ops_engine"
                )
            },
        ));
    }
    Ok(())
}

/// An open transaction in `pg_stat_activity`.
#[derive(sqlx::FromRow)]
struct Open {
    pid: i32,
    age_s: f64,
    who: String,
    state: String,
    query: String,
    query_begun: String,
}

async fn transactions(
    session: &mut Session,
    requirements: &Requirements,
    found: &mut Examination,
) -> Result<(), ReadError> {
    let open: Vec<Open> = session
        .rows(
            "SELECT pid, extract(epoch FROM clock_timestamp() - xact_start)::float8 AS age_s, \
             concat_ws(', ', 'application ' || quote_literal(nullif(application_name, '')), 'role ' || usename, \
             'from ' || coalesce(host(client_addr), 'this machine')) AS who, \
             coalesce(state, '') AS state, coalesce(query, '') AS query, \
             coalesce(to_char(query_start, 'YYYY-MM-DD HH24:MI:SS TZ'), 'unknown') AS query_begun \
             FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database() \
             AND backend_type = 'client backend' AND xact_start IS NOT NULL \
             AND (backend_xid IS NOT NULL OR backend_xmin IS NOT NULL OR state LIKE 'idle in transaction%') \
             ORDER BY xact_start",
        )
        .await?;
    for Open { pid, age_s, who, state, query, query_begun } in open {
        if age_s < requirements.long_transaction.as_secs_f64() {
            continue;
        }
        found.add(Finding::warning(
            "transaction-open",
            format!(
                "a transaction has been open for {age_s:.1} s: pid {pid}, {who}, {state}, its last query began at {query_begun}: {}",
                shortened(&query)
            ),
            WHY,
            format!(
                "SELECT pg_terminate_backend({pid}); and so that it does not happen again: ALTER SYSTEM SET \
                 idle_in_transaction_session_timeout = '10min'; SELECT pg_reload_conf();"
            ),
        ));
    }
    Ok(())
}

async fn prepared(
    session: &mut Session,
    requirements: &Requirements,
    found: &mut Examination,
) -> Result<(), ReadError> {
    let prepared: Vec<(String, f64, String)> = session
        .rows(
            "SELECT gid, extract(epoch FROM clock_timestamp() - prepared)::float8, owner::text FROM pg_prepared_xacts \
             WHERE database = current_database() ORDER BY prepared",
        )
        .await?;
    for (gid, age, owner) in prepared {
        if age < requirements.long_transaction.as_secs_f64() {
            continue;
        }
        let quoted = gid.replace('\'', "''");
        found.add(Finding::warning(
            "transaction-prepared",
            format!("the transaction '{gid}' of {owner} has been prepared for {age:.1} s, and is neither committed nor rolled back"),
            format!("{WHY}; it also keeps its locks, even over a restart"),
            format!("COMMIT PREPARED '{quoted}'; or ROLLBACK PREPARED '{quoted}'; as its coordinator decides"),
        ));
    }
    Ok(())
}

async fn slots(session: &mut Session, found: &mut Examination) -> Result<(), ReadError> {
    let slots: Vec<(String, String, bool)> = session
        .rows(
            "SELECT slot_name::text, slot_type, xmin IS NOT NULL OR catalog_xmin IS NOT NULL FROM pg_replication_slots \
             WHERE NOT active ORDER BY 1",
        )
        .await?;
    for (slot, kind, holds) in slots {
        let quoted = slot.replace('\'', "''");
        let also = if holds { format!("; {WHY}") } else { String::new() };
        found.add(Finding::warning(
            "replication-slot",
            format!("no program reads from the {kind} replication slot {slot}"),
            format!("PostgreSQL keeps the write-ahead log for it until the disk is full{also}"),
            format!(
                "start its reader again; or, if there is none any more: SELECT pg_drop_replication_slot('{quoted}');"
            ),
        ));
    }
    Ok(())
}

/// The beginning of a query, on one line.
pub fn shortened(query: &str) -> String {
    let words = query.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(QUERY_CHARACTERS) {
        Some((end, _)) => format!("{}...", &words[..end]),
        None => words,
    }
}
