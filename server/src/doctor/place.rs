//! What is at the other end: which PostgreSQL, whether it can be written, its clock, and whether a pooler stands between.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::doctor::finding::{Examination, Finding, Severity};
use crate::doctor::session::{ReadError, Session};

/// The schema uses `xid8`, `pg_current_snapshot()` and a `gen_random_uuid()` of the core, all of 13.
const OLDEST: i32 = 130_000;
/// The oldest that is still maintained, and that this is meant for.
const MEANT: i32 = 140_000;

/// Clocks that are apart by more than this make logs hard to read.
const CLOCK_TOLERANCE_MS: i64 = 2_000;

pub async fn check(session: &mut Session, found: &mut Examination) -> Result<(), ReadError> {
    let (number, version, encoding): (i32, String, String) = session
        .row(
            "SELECT current_setting('server_version_num')::int4, current_setting('server_version'), \
             current_setting('server_encoding')",
        )
        .await?;
    found.fact("PostgreSQL", version.clone());
    if number < MEANT {
        let severity = if number < OLDEST { Severity::Error } else { Severity::Warning };
        found.add(Finding::new(
            severity,
            "version-old",
            format!("PostgreSQL {version} is too old: 14 or newer is needed"),
            "the schema needs what came with 13 (xid8, pg_current_snapshot); 13 itself is tried by nobody any more",
            "move to a newer PostgreSQL with pg_upgrade, or with pg_dump and pg_restore",
        ));
    }
    if encoding != "UTF8" {
        found.add(Finding::error(
            "encoding",
            format!("the database holds text as {encoding}"),
            "names, params and logs are UTF-8: what does not fit is refused, or comes back wrong",
            "CREATE DATABASE ops ENCODING 'UTF8' TEMPLATE template0; and move there",
        ));
    }
    let (recovering,): (bool,) = session.row("SELECT pg_is_in_recovery()").await?;
    if recovering {
        found.add(Finding::error(
            "standby",
            "this is a standby, which can only be read",
            "a server writes with everything it does",
            "name the primary in the URL; or, if the primary is lost for good, make this one it: SELECT pg_promote();",
        ));
    }
    clock(session, found).await
}

async fn clock(session: &mut Session, found: &mut Examination) -> Result<(), ReadError> {
    let (before, begun) = (now_ms(), Instant::now());
    let (theirs,): (i64,) = session.row("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::int8").await?;
    let travel = i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX);
    // It was read somewhere between the question and the answer.
    let ahead = theirs - (before + travel / 2);
    found.fact("clock", format!("{} ms {} ours", ahead.abs(), if ahead < 0 { "behind" } else { "ahead of" }));
    if ahead.abs() > CLOCK_TOLERANCE_MS + travel {
        found.add(Finding::warning(
            "clock",
            format!("the database's clock is {:.1} s {} ours", ahead.abs() as f64 / 1000.0, if ahead < 0 { "behind" } else { "ahead of" }),
            "only the database's clock decides, so nothing breaks; but logs do not fit together, and a time that a client \
             counts from its own clock comes early or late",
            "on both machines: `timedatectl set-ntp true`; `chronyc tracking` says how far off a clock is",
        ));
    }
    Ok(())
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A pooler of transactions gives the server process of a connection to another as soon as it does nothing: while the other
/// holds it, this one is served by someone else.
pub async fn check_pooler(session: &mut Session, found: &mut Examination) -> Result<(), ReadError> {
    let mut other = session.another().await?;
    let before = own_process(session).await?;
    other.begin(None).await?;
    let others = other.process().await?;
    let after = own_process(session).await?;
    other.close().await;
    if before == others || before != after {
        found.add(Finding::error(
            "pooler",
            "a pooler stands between, which gives each transaction another connection",
            "LISTEN hears nothing, prepared statements and settings of a session are lost, and a server fails in odd ways",
            "connect to PostgreSQL itself; or, for PgBouncer: pool_mode = session for this database, with pool_size no \
             smaller than --database-connections",
        ));
    }
    Ok(())
}

async fn own_process(session: &mut Session) -> Result<i32, ReadError> {
    let (pid,): (i32,) = session.row("SELECT pg_backend_pid()").await?;
    Ok(pid)
}
