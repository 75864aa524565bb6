//! The environment of a program: the worker's own, without what belongs to the worker. Pure.

use std::{ffi::OsString, fmt, str::FromStr};

/// Variables that begin so are settings of the worker, and may have passwords and tokens: its own, those of its exporter of traces, and
/// those of a PostgreSQL client.
const OWN_PREFIXES: [&str; 3] = ["OPS_", "OTEL_", "PG"];
/// The trace in which the worker was started, and what a service manager gives to the worker alone: sockets, credentials, its log.
const OWN: [&str; 12] = [
    "TRACEPARENT",
    "TRACESTATE",
    "DATABASE_URL",
    "CREDENTIALS_DIRECTORY",
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
];

/// The name of a variable that programs get although it is one of the worker's own. With `*` at its end it stands for all names that
/// begin so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvName(String);

impl EnvName {
    fn is(&self, name: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == self.0,
        }
    }
}

impl FromStr for EnvName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.strip_suffix('*').unwrap_or(text);
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(format!("expected the name of a variable, such as PGHOST or PG*, got `{text}`"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for EnvName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Of these variables, those that a program does not get.
pub(super) fn withheld<'n>(
    names: impl IntoIterator<Item = OsString> + 'n,
    allowed: &'n [EnvName],
) -> impl Iterator<Item = OsString> + 'n {
    names.into_iter().filter(|name| {
        let name = name.to_string_lossy();
        let is_own = OWN.contains(&&*name) || OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        is_own && !allowed.iter().any(|allowed| allowed.is(&name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workers_own_variables_are_withheld_unless_they_are_allowed() {
        let names =
            ["HOME", "OPS_TOKEN", "OTEL_EXPORTER_OTLP_HEADERS", "PGPASSWORD", "PGHOST", "NOTIFY_SOCKET", "PATH"];
        let of = |allowed: &[&str]| {
            let allowed: Vec<EnvName> = allowed.iter().map(|name| name.parse().unwrap()).collect();
            withheld(names.map(OsString::from), &allowed).map(|name| name.into_string().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(of(&[]), names[1..6]);
        assert_eq!(of(&["PG*", "NOTIFY_SOCKET", "OPS_TOKE"]), names[1..3]);
        for bad in ["", "*", "A=B", "A*B", "A B"] {
            assert!(bad.parse::<EnvName>().is_err(), "{bad}");
        }
    }
}
