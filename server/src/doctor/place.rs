//! The server at this URL: the version of PostgreSQL, whether it accepts writes, its clock, and whether a pooler is in between.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::doctor::finding::{Examination, Finding, Severity};
use crate::doctor::session::{ReadError, Session};
use engine::db::pooler::pools_transactions;

/// The schema needs `xid8`, `pg_current_snapshot()` and a built-in `gen_random_uuid()`, which PostgreSQL has since 13.
const OLDEST: i32 = 130_000;
/// The oldest version that is supported.
const SUPPORTED: i32 = 140_000;

/// A larger difference between clocks makes logs hard to read.
const CLOCK_TOLERANCE_MS: i64 = 2_000;

pub async fn check(session: &mut Session, found: &mut Examination) -> Result<(), ReadError> {
    let (number, version, encoding): (i32, String, String) = session
        .row(
            "SELECT current_setting('server_version_num')::int4, current_setting('server_version'), \
             current_setting('server_encoding')",
        )
        .await?;
    found.fact("PostgreSQL", version.clone());
    if number < SUPPORTED {
        let severity = if number < OLDEST { Severity::Error } else { Severity::Warning };
        found.add(Finding::new(
            severity,
            "version-old",
            format!("PostgreSQL {version} is too old: 14 or newer is needed"),
            "the schema needs features of 13 (xid8, pg_current_snapshot), and the program is tested with 14 and newer",
            "move to a newer PostgreSQL with pg_upgrade, or with pg_dump and pg_restore",
        ));
    }
    if encoding != "UTF8" {
        found.add(Finding::error(
            "encoding",
            format!("the database holds text as {encoding}"),
            "names, params and logs are UTF-8: a text that does not fit is refused, or comes back wrong",
            "CREATE DATABASE ops ENCODING 'UTF8' TEMPLATE template0; and move there",
        ));
    }
    let (recovering,): (bool,) = session.row("SELECT pg_is_in_recovery()").await?;
    if recovering {
        found.add(Finding::error(
            "standby",
            "this is a standby, which can only be read",
            "a server writes in everything that it does",
            "name the primary in the URL; or, if the primary is lost for good, promote this standby: SELECT pg_promote();",
        ));
    }
    synchronous_standbys(session, found).await?;
    clock(session, found).await
}

/// Commits wait for these standbys. If one is gone, no commit ends.
async fn synchronous_standbys(session: &mut Session, found: &mut Examination) -> Result<(), ReadError> {
    let (names, waits, connected, hidden): (String, bool, i64, i64) = session
        .row(
            "SELECT current_setting('synchronous_standby_names'), current_setting('synchronous_commit') NOT IN ('off', 'local'), \
             count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')), \
             count(*) FILTER (WHERE pid IS NOT NULL AND sync_state IS NULL) FROM pg_stat_replication",
        )
        .await?;
    let wanted = standbys_wanted(&names);
    // A role without pg_monitor does not see which standbys they are.
    if waits && connected < wanted && hidden == 0 {
        found.add(Finding::error(
            "synchronous-standby",
            format!("commits wait for {wanted} of the standbys {names:?}, and {connected} are connected"),
            "no commit ends, so a server is not ready, although reads work",
            "start the standby; or let commits not wait for it: ALTER SYSTEM SET synchronous_standby_names = ''; SELECT pg_reload_conf();",
        ));
    }
    Ok(())
}

/// For how many standbys a commit waits: `FIRST 2 (a, b)`, `ANY 2 (a, b)` and `2 (a, b)` say it, `a, b` means one.
fn standbys_wanted(names: &str) -> i64 {
    let before_list = names.split_once('(').map_or("", |(method, _)| method);
    let number = before_list.split_whitespace().last().and_then(|number| number.parse().ok());
    number.unwrap_or(i64::from(!names.trim().is_empty()))
}

async fn clock(session: &mut Session, found: &mut Examination) -> Result<(), ReadError> {
    let (before, begun) = (now_ms(), Instant::now());
    let (database_ms,): (i64,) = session.row("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::int8").await?;
    let round_trip = i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX);
    // The database read its clock at some moment between question and answer; half way is the best guess.
    let ahead = database_ms - (before + round_trip / 2);
    found.fact("clock", format!("{} ms {} ours", ahead.abs(), if ahead < 0 { "behind" } else { "ahead of" }));
    if ahead.abs() > CLOCK_TOLERANCE_MS + round_trip {
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

/// A server can not use a pooler that gives each transaction another connection.
pub async fn check_pooler(session: &Session, found: &mut Examination) -> Result<(), ReadError> {
    if pools_transactions(session.url()).await? {
        found.add(Finding::error(
            "pooler",
            "there is a pooler in between, which gives each transaction another connection",
            "LISTEN receives nothing, prepared statements and settings of a session are lost, and a server refuses to start",
            "connect to PostgreSQL itself; or, for PgBouncer: pool_mode = session for this database, with pool_size no \
             smaller than --database-connections for each server",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_says_for_how_many_standbys_commits_wait() {
        for (names, wanted) in [
            ("", 0),
            ("a", 1),
            ("a, b", 1),
            ("*", 1),
            ("2 (a, b, c)", 2),
            ("FIRST 3 (a, b, c)", 3),
            ("ANY 2 (a, b)", 2),
        ] {
            assert_eq!(standbys_wanted(names), wanted, "{names}");
        }
    }
}
