//! Explains why there is no connection, or no answer.

use std::io;

use crate::doctor::finding::Finding;
use crate::doctor::session::ReadError;
use engine::db::DatabaseUrl;

const NO_SERVER: &str = "a server can do nothing without its database";

pub fn malformed(error: &str) -> Finding {
    let mend = "--database-url postgres://USER:PASSWORD@HOST:PORT/NAME, with special characters of the password percent-encoded (@ is %40)";
    Finding::error(
        "database-url",
        format!("the database's URL can not be understood: expected postgres:// or postgresql://, {error}"),
        NO_SERVER,
        mend,
    )
}

/// A group of checks failed.
pub fn unread(about: &str, error: &ReadError) -> Finding {
    let why = "faults there stay unknown";
    let mend = "mend the other findings and examine again; the log of PostgreSQL says more";
    Finding::warning("not-examined", format!("{about}: can not be examined: {error}"), why, mend)
}

/// Why a connection could not be opened.
pub fn explain(error: &ReadError, url: &DatabaseUrl) -> Finding {
    let (host, port) = (url.options().get_host(), url.options().get_port());
    let place = match url.options().get_socket() {
        Some(socket) => format!("{}, port {port}", socket.display()),
        None => format!("{host}:{port}"),
    };
    let (user, database) =
        (url.options().get_username(), url.options().get_database().unwrap_or_else(|| url.options().get_username()));
    let found = |id, what: String, mend: String| Finding::error(id, what, NO_SERVER, mend);
    match error {
        ReadError::Late(timeout) => found(
            "database-silent",
            format!("nobody answers at {place} within {timeout:?}"),
            "is there a firewall in between, or is the database stopped or hanging? `pg_isready` says more".to_owned(),
        ),
        ReadError::Sql(sqlx::Error::Io(error)) => unreachable(error, &place),
        ReadError::Sql(sqlx::Error::Tls(error)) => found(
            "database-tls",
            format!("TLS with {place} fails: {error}"),
            "in the URL, ?sslmode=verify-full&sslrootcert=FILE names the authority that signed its certificate; \
             ?sslmode=require does not check the certificate; ?sslmode=disable uses no TLS"
                .to_owned(),
        ),
        ReadError::Sql(sqlx::Error::Database(error)) => {
            let code = error.code().unwrap_or_default();
            refused(&code, error.message(), &place, user, database)
        }
        ReadError::Sql(error) => found(
            "not-postgresql",
            format!("the program at {place} does not speak PostgreSQL's protocol: {error}"),
            "name the port of PostgreSQL, usually 5432".to_owned(),
        ),
    }
}

fn unreachable(error: &io::Error, place: &str) -> Finding {
    let found = |id, what: String, mend: &str| Finding::error(id, what, NO_SERVER, mend);
    let text = error.to_string();
    match error.kind() {
        io::ErrorKind::ConnectionRefused => found(
            "database-refused",
            format!("nobody listens at {place}: {text}"),
            "start PostgreSQL, or name its address; it accepts other machines only with listen_addresses = '*'",
        ),
        io::ErrorKind::NotFound => found(
            "database-socket",
            format!("there is no socket of PostgreSQL at {place}"),
            "start PostgreSQL, or name the folder of its socket (`SHOW unix_socket_directories`)",
        ),
        io::ErrorKind::PermissionDenied => found(
            "database-socket",
            format!("the socket at {place} may not be used: {text}"),
            "run as a user who may use it, or use TCP: postgres://USER:PASSWORD@127.0.0.1:5432/NAME",
        ),
        _ if text.contains("lookup address") || text.contains("nodename nor servname") => found(
            "database-dns",
            format!("the name in {place} can not be resolved: {text}"),
            "is it spelled right, and known on this machine? check with `getent hosts NAME`",
        ),
        _ => found(
            "database-unreachable",
            format!("{place} can not be reached: {text}"),
            "check the network in between: `pg_isready -h HOST -p PORT`",
        ),
    }
}

fn refused(code: &str, message: &str, place: &str, user: &str, database: &str) -> Finding {
    let found = |id, what: String, mend: String| Finding::error(id, what, NO_SERVER, mend);
    let said = format!("{message} ({code})");
    match code {
        "28P01" => found(
            "database-password",
            format!("{place} does not take the password of role {user}: {said}"),
            format!("put the right password into the URL or its file, or set it: ALTER ROLE {} PASSWORD '...';", name(user)),
        ),
        "28000" if message.contains("pg_hba.conf") => found(
            "database-access",
            format!("{place} does not let {user} connect from here to {database}: {said}"),
            format!("in pg_hba.conf: `hostssl {database} {user} ADDRESS/32 scram-sha-256`, then SELECT pg_reload_conf();"),
        ),
        "28000" => found(
            "database-role",
            format!("{place} does not let role {user} log in: {said}"),
            format!("as a superuser: CREATE ROLE {} LOGIN PASSWORD '...';", name(user)),
        ),
        "3D000" => found(
            "database-missing",
            format!("{place} has no database {database}: {said}"),
            format!("CREATE DATABASE {}; then `ops migrate`", name(database)),
        ),
        "42501" => found(
            "database-access",
            format!("role {user} may not connect to {database}: {said}"),
            format!("GRANT CONNECT ON DATABASE {} TO {};", name(database), name(user)),
        ),
        "53300" => found(
            "connections-taken",
            format!("{place} has no connection left for {user}: {said}"),
            "SELECT application_name, usename, count(*) FROM pg_stat_activity GROUP BY 1, 2 ORDER BY 3 DESC; shows who has \
             them; ALTER SYSTEM SET max_connections = 200; and a restart allow more"
                .to_owned(),
        ),
        _ if message.contains("unsupported startup parameter") => found(
            "pooler-parameter",
            format!("the pooler at {place} does not take a parameter of the connection: {said}"),
            "leave `options` out of the URL, and PGOPTIONS out of the environment; or, for PgBouncer: \
             ignore_startup_parameters = options"
                .to_owned(),
        ),
        code if code.starts_with("57P") => found(
            "database-starting",
            format!("{place} takes no connections now: {said}"),
            "wait until it has started or recovered; its log shows the progress".to_owned(),
        ),
        _ => found(
            "database-refuses",
            format!("{place} refuses the connection: {said}"),
            "the log of PostgreSQL says more".to_owned(),
        ),
    }
}

/// A name as SQL text, quoted if necessary.
pub fn name(name: &str) -> String {
    let is_plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}
