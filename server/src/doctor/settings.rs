//! The settings that a session of the server would meet, wherever they were set.

use std::collections::HashMap;

use crate::doctor::Wishes;
use crate::doctor::finding::{Examination, Finding, Severity};
use crate::doctor::reach::name;
use crate::doctor::session::{ReadError, Session};

/// Migrations may have to wait for another server's, and build indexes: what ends them earlier than this hurts.
const MIGRATION_MS: i64 = 60_000;
/// How long the server's listener may hear nothing, and a connection of its pool be idle.
const IDLE_MS: i64 = 15 * 60 * 1000;

/// What a session starts with, and where that comes from.
struct Settings {
    values: HashMap<String, String>,
    /// Those that PostgreSQL was started with: what a file says of them counts for nothing.
    started_with: Vec<String>,
    /// Those that are set for the role, for the database, or for the role in the database.
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
        // What it would be reset to is what a session starts with; this one has its own already.
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

    /// As a number; a setting that this PostgreSQL does not have is 0.
    fn number(&self, setting: &str) -> i64 {
        self.value(setting).parse().unwrap_or_default()
    }

    /// How to give a setting this value: where it is overridden by taking that back, else for the whole server.
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

pub async fn check(session: &mut Session, wishes: &Wishes, found: &mut Examination) -> Result<(), ReadError> {
    let settings = Settings::read(session).await?;
    durability(&settings, found);
    transactions(&settings, found);
    timeouts(&settings, found);
    room(session, &settings, wishes, found).await
}

/// What was acknowledged must be on disk, and what is dead must be cleared away.
fn durability(settings: &Settings, found: &mut Examination) {
    for (setting, why) in [
        ("fsync", "a crash of the machine can ruin the whole database, not only the last moments"),
        ("full_page_writes", "a crash of the machine can leave pages that are half written, which nothing mends"),
        ("synchronous_commit", "what was acknowledged to a client may be lost when PostgreSQL crashes"),
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
                format!("{setting} is off, so nothing is vacuumed by itself"),
                "a queue turns over its rows all the time: tables and indexes grow without end, each claim gets slower, and \
                 after two billion transactions the database stops",
                settings.mend(setting, "on"),
            ));
        }
    }
    if settings.value("track_activities") == "off" {
        found.add(Finding::warning(
            "track-activities-off",
            "track_activities is off",
            "nobody sees which transaction has been open for long, this examination neither",
            settings.mend("track_activities", "on"),
        ));
    }
}

/// The statements are right under the rules that they were written for.
fn transactions(settings: &Settings, found: &mut Examination) {
    let isolation = settings.value("default_transaction_isolation");
    if isolation != "read committed" {
        found.add(Finding::error(
            "isolation",
            format!("default_transaction_isolation is {isolation}"),
            "statements that wait for a lock must then see what it protected; under another isolation they fail instead",
            settings.mend("default_transaction_isolation", "'read committed'"),
        ));
    }
    if settings.value("default_transaction_read_only") == "on" {
        found.add(Finding::error(
            "read-only",
            "default_transaction_read_only is on",
            "a server writes with everything it does",
            settings.mend("default_transaction_read_only", "off"),
        ));
    }
    if settings.value("row_security") == "off" {
        found.add(Finding::error(
            "row-security-off",
            "row_security is off",
            "every table has row-level security, and with this each statement on one is refused",
            settings.mend("row_security", "on"),
        ));
    }
    if settings.value("session_replication_role") == "replica" {
        found.add(Finding::error(
            "replication-role",
            "session_replication_role is replica",
            "triggers and foreign keys do nothing then, and what watchers are told has gaps",
            settings.mend("session_replication_role", "origin"),
        ));
    }
}

/// The pool sets statement_timeout and idle_in_transaction_session_timeout itself; migrations and others do not.
fn timeouts(settings: &Settings, found: &mut Examination) {
    for (setting, id) in [("statement_timeout", "statement-timeout"), ("lock_timeout", "lock-timeout")] {
        let limit = settings.number(setting);
        if (1..MIGRATION_MS).contains(&limit) {
            // A server that starts takes locks one after the other, and can not do it at all in less than a second.
            let severity = if limit < 1_000 { Severity::Error } else { Severity::Warning };
            found.add(Finding::new(
                severity,
                id,
                format!("{setting} is {limit} ms for this role"),
                "a migration is cut when it takes longer, or waits longer for another server's, and the server does not start",
                settings.mend(setting, "0"),
            ));
        }
    }
    let limit = settings.number("transaction_timeout");
    if (1..MIGRATION_MS).contains(&limit) {
        found.add(Finding::error(
            "transaction-timeout",
            format!("transaction_timeout is {limit} ms for this role"),
            "it closes the connection of whatever takes longer: migrations, and the server's own work on a busy database",
            settings.mend("transaction_timeout", "0"),
        ));
    }
    let limit = settings.number("idle_session_timeout");
    if (1..IDLE_MS).contains(&limit) {
        found.add(Finding::warning(
            "idle-session-timeout",
            format!("idle_session_timeout is {limit} ms for this role"),
            "it closes the connections of the pool, and the one that listens, whenever there is little to do",
            settings.mend("idle_session_timeout", "0"),
        ));
    }
    if settings.number("idle_in_transaction_session_timeout") == 0 {
        found.add(Finding::note(
            "idle-in-transaction-timeout",
            "idle_in_transaction_session_timeout is not set",
            "the server bounds its own transactions; a program that forgets one of its own keeps dead rows alive until it ends",
            settings.mend("idle_in_transaction_session_timeout", "'10min'"),
        ));
    }
}

/// There must be room for the pool at all; what is left of it now is the affair of [`super::load`].
async fn room(
    session: &mut Session,
    settings: &Settings,
    wishes: &Wishes,
    found: &mut Examination,
) -> Result<(), ReadError> {
    let wanted = i64::from(wishes.connections);
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
