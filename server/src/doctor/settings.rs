//! The settings that a session of the server gets, wherever they were set.

use std::collections::HashMap;

use crate::doctor::Requirements;
use crate::doctor::finding::{Examination, Finding, Severity};
use crate::doctor::reach::name;
use crate::doctor::session::{ReadError, Session};

/// A migration builds indexes, and may wait for another server's migration. It needs at least this time.
const MIGRATION_MS: i64 = 60_000;
/// The listening connection may receive nothing for this long, and a connection of the pool may be idle for this long.
const IDLE_MS: i64 = 15 * 60 * 1000;

/// The settings with which a session starts, and where they were set.
struct Settings {
    values: HashMap<String, String>,
    /// Settings on PostgreSQL's command line, which override its files.
    started_with: Vec<String>,
    /// Settings for the role, for the database, or for the role in the database.
    overrides: Vec<(String, Scope)>,
    role: String,
    database: String,
}

#[derive(Clone, Copy)]
enum Scope {
    RoleInDatabase,
    Role,
    Database,
}

impl Settings {
    async fn read(session: &mut Session) -> Result<Self, ReadError> {
        // This session has changed some values; a new session starts with the reset values.
        let values: Vec<(String, String, bool)> =
            session.rows("SELECT name, coalesce(reset_val, ''), source = 'command line' FROM pg_settings").await?;
        let started_with =
            values.iter().filter(|(.., is_started)| *is_started).map(|(name, ..)| name.clone()).collect();
        let values = values.into_iter().map(|(name, value, _)| (name, value)).collect();
        let (role, database): (String, String) =
            session.row("SELECT session_user::text, current_database()::text").await?;
        let overrides: Vec<(String, bool, bool)> = session
            .rows(
                "SELECT split_part(setting, '=', 1), setrole <> 0, setdatabase <> 0 FROM pg_db_role_setting, \
                 unnest(setconfig) AS setting WHERE setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user)) \
                 AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))",
            )
            .await?;
        let scope = |for_role, for_database| match (for_role, for_database) {
            (true, true) => Scope::RoleInDatabase,
            (true, false) => Scope::Role,
            (false, _) => Scope::Database,
        };
        let overrides = overrides.into_iter().map(|(name, role, database)| (name, scope(role, database))).collect();
        Ok(Self { values, started_with, overrides, role, database })
    }

    fn value(&self, setting: &str) -> &str {
        self.values.get(setting).map_or("", String::as_str)
    }

    /// The value as a number; 0 for a setting that this PostgreSQL does not have.
    fn number(&self, setting: &str) -> i64 {
        self.value(setting).parse().unwrap_or_default()
    }

    /// How to give a setting this value: by removing an override, or else for the whole server.
    fn mend(&self, setting: &str, value: &str) -> String {
        let (role, database) = (name(&self.role), name(&self.database));
        let rank = |scope: Scope| match scope {
            Scope::RoleInDatabase => 0,
            Scope::Role => 1,
            Scope::Database => 2,
        };
        let scopes = self.overrides.iter().filter(|(name, _)| name == setting).map(|(_, scope)| *scope);
        match scopes.min_by_key(|scope| rank(*scope)) {
            Some(Scope::RoleInDatabase) => format!("ALTER ROLE {role} IN DATABASE {database} RESET {setting};"),
            Some(Scope::Role) => format!("ALTER ROLE {role} RESET {setting};"),
            Some(Scope::Database) => format!("ALTER DATABASE {database} RESET {setting};"),
            None if self.started_with.iter().any(|name| name == setting) => {
                format!(
                    "PostgreSQL was started with it: restart it with `-c {setting}={value}`, or without `-c {setting}`"
                )
            }
            None => format!("ALTER SYSTEM SET {setting} = {value}; SELECT pg_reload_conf();"),
        }
    }
}

pub async fn check(
    session: &mut Session,
    requirements: &Requirements,
    found: &mut Examination,
) -> Result<(), ReadError> {
    let settings = Settings::read(session).await?;
    durability(&settings, found);
    transactions(&settings, found);
    timeouts(&settings, found);
    room(session, &settings, requirements, found).await
}

/// Acknowledged writes must be on disk, and dead rows must be vacuumed.
fn durability(settings: &Settings, found: &mut Examination) {
    for (setting, why) in [
        ("fsync", "a crash of the machine can ruin the whole database, not only the last writes"),
        ("full_page_writes", "a crash of the machine can leave half-written pages, which nothing repairs"),
        ("synchronous_commit", "acknowledged writes may be lost when PostgreSQL crashes"),
    ] {
        if settings.value(setting) == "off" {
            let id = match setting {
                "fsync" => "fsync-off",
                "full_page_writes" => "full-page-writes-off",
                _ => "synchronous-commit-off",
            };
            found.add(Finding::error(id, format!("{setting} is off"), why, settings.mend(setting, "on")));
        }
    }
    for (setting, id) in [("autovacuum", "autovacuum-off"), ("track_counts", "track-counts-off")] {
        if settings.value(setting) == "off" {
            found.add(Finding::error(
                id,
                format!("{setting} is off, so nothing is vacuumed automatically"),
                "a queue replaces its rows all the time: tables and indexes grow without end, each claim gets slower, and \
                 after two billion transactions the database stops",
                settings.mend(setting, "on"),
            ));
        }
    }
    if settings.value("track_activities") == "off" {
        found.add(Finding::warning(
            "track-activities-off",
            "track_activities is off",
            "nobody can see which transactions have been open for long; this examination can not either",
            settings.mend("track_activities", "on"),
        ));
    }
}

/// The statements are correct only with these settings of transactions.
fn transactions(settings: &Settings, found: &mut Examination) {
    let isolation = settings.value("default_transaction_isolation");
    if isolation != "read committed" {
        found.add(Finding::error(
            "isolation",
            format!("default_transaction_isolation is {isolation}"),
            "a statement that has waited for a lock must see what the other transaction wrote; at another isolation level it fails",
            settings.mend("default_transaction_isolation", "'read committed'"),
        ));
    }
    if settings.value("default_transaction_read_only") == "on" {
        found.add(Finding::error(
            "read-only",
            "default_transaction_read_only is on",
            "a server writes in everything that it does",
            settings.mend("default_transaction_read_only", "off"),
        ));
    }
    if settings.value("row_security") == "off" {
        found.add(Finding::error(
            "row-security-off",
            "row_security is off",
            "every table has row-level security, and this setting refuses each statement on such a table",
            settings.mend("row_security", "on"),
        ));
    }
    if settings.value("session_replication_role") == "replica" {
        found.add(Finding::error(
            "replication-role",
            "session_replication_role is replica",
            "triggers and foreign keys do nothing then, and the events for watchers have gaps",
            settings.mend("session_replication_role", "origin"),
        ));
    }
}

/// The pool sets statement_timeout and idle_in_transaction_session_timeout itself. Migrations and other programs do not.
fn timeouts(settings: &Settings, found: &mut Examination) {
    for (setting, id) in [("statement_timeout", "statement-timeout"), ("lock_timeout", "lock-timeout")] {
        let limit = settings.number(setting);
        if (1..MIGRATION_MS).contains(&limit) {
            // A server that starts takes many locks one after the other, which needs more than a second.
            let severity = if limit < 1_000 { Severity::Error } else { Severity::Warning };
            found.add(Finding::new(
                severity,
                id,
                format!("{setting} is {limit} ms for this role"),
                "a migration that takes longer, or waits longer for another server's, is cancelled, and the server does not start",
                settings.mend(setting, "0"),
            ));
        }
    }
    let limit = settings.number("transaction_timeout");
    if (1..MIGRATION_MS).contains(&limit) {
        found.add(Finding::error(
            "transaction-timeout",
            format!("transaction_timeout is {limit} ms for this role"),
            "it closes connections whose transaction takes longer: migrations, and the server's own on a busy database",
            settings.mend("transaction_timeout", "0"),
        ));
    }
    let limit = settings.number("idle_session_timeout");
    if (1..IDLE_MS).contains(&limit) {
        found.add(Finding::warning(
            "idle-session-timeout",
            format!("idle_session_timeout is {limit} ms for this role"),
            "it closes the pool's connections and the listening one whenever there is little to do",
            settings.mend("idle_session_timeout", "0"),
        ));
    }
    if settings.number("idle_in_transaction_session_timeout") == 0 {
        found.add(Finding::note(
            "idle-in-transaction-timeout",
            "idle_in_transaction_session_timeout is not set",
            "the server bounds its own transactions, but a forgotten transaction of another program keeps dead rows until it ends",
            settings.mend("idle_in_transaction_session_timeout", "'10min'"),
        ));
    }
}

/// The limits must have room for the whole pool. [`super::load`] checks how many connections are free now.
async fn room(
    session: &mut Session,
    settings: &Settings,
    requirements: &Requirements,
    found: &mut Examination,
) -> Result<(), ReadError> {
    let wanted = i64::from(requirements.connections);
    let reserved = settings.number("superuser_reserved_connections") + settings.number("reserved_connections");
    let usable = settings.number("max_connections") - reserved;
    if usable < wanted {
        found.add(Finding::error(
            "max-connections",
            format!("PostgreSQL takes {usable} connections, and one server may want {wanted}"),
            "when they are taken, calls are refused with UNAVAILABLE, and leases can not be renewed",
            format!(
                "{}, then restart PostgreSQL; or start the server with --database-connections {}",
                settings.mend("max_connections", &(wanted * 2 + reserved).max(100).to_string()),
                (usable - 2).max(8)
            ),
        ));
    }
    let (of_role, of_database): (i32, i32) = session
        .row(
            "SELECT (SELECT rolconnlimit FROM pg_roles WHERE rolname = session_user), \
             (SELECT datconnlimit FROM pg_database WHERE datname = current_database())",
        )
        .await?;
    let (role, database) = (name(&settings.role), name(&settings.database));
    for (limit, whose, mend) in [
        (of_role, format!("role {role}"), format!("ALTER ROLE {role} CONNECTION LIMIT -1;")),
        (of_database, format!("database {database}"), format!("ALTER DATABASE {database} CONNECTION LIMIT -1;")),
    ] {
        if limit >= 0 && i64::from(limit) < wanted {
            found.add(Finding::error(
                "connection-limit",
                format!("{whose} may have {limit} connections, and one server may want {wanted}"),
                "when they are taken, calls are refused with UNAVAILABLE, and leases can not be renewed",
                mend,
            ));
        }
    }
    Ok(())
}
