//! Where a database is: one server, or several of which one is the primary.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::db::parameters::known;

/// The parameter that says which of several servers is used.
const TARGET: &str = "target_session_attrs";

/// A `postgres://` URL. It may name several servers, as `postgres://USER@HOST1:PORT1,HOST2:PORT2/NAME`; the one that accepts writes is
/// used. Its password may change: it is read again when a login is refused.
#[derive(Clone)]
pub struct DatabaseUrl {
    servers: Vec<PgConnectOptions>,
    text: String,
    file: Option<PathBuf>,
}

impl DatabaseUrl {
    /// Reads a URL. The error says what is wrong with it.
    pub fn parse(url: &str) -> Result<Self, String> {
        let servers: Vec<PgConnectOptions> =
            one_for_each_server(url)?.iter().map(|one| server(one)).collect::<Result<_, _>>()?;
        for parameter in known(url).1.iter().filter(|name| *name != TARGET) {
            tracing::warn!(parameter, "a parameter of the database's URL is not known, and ignored");
        }
        Ok(Self { servers, text: url.to_owned(), file: None })
    }

    /// The same, from a file that holds the URL now and may hold another one later.
    pub fn in_file(self, file: Option<&Path>) -> Self {
        Self { file: file.map(Path::to_owned), ..self }
    }

    /// How to reach the first server.
    pub fn options(&self) -> &PgConnectOptions {
        &self.servers[0]
    }

    /// How to reach each server.
    pub fn servers(&self) -> &[PgConnectOptions] {
        &self.servers
    }

    /// What its file and the password file say now. `None` if that can not be read.
    pub(super) fn again(&self) -> Option<Self> {
        let text = match &self.file {
            Some(file) => std::fs::read_to_string(file).ok()?.trim_end_matches(['\n', '\r']).to_owned(),
            None => self.text.clone(),
        };
        Some(Self::parse(&text).ok()?.in_file(self.file.as_deref()))
    }
}

/// Without the password.
impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.servers.iter().map(place)).finish()
    }
}

/// How to reach the server that a URL names.
fn server(url: &str) -> Result<PgConnectOptions, String> {
    let mut options = PgConnectOptions::from_str(&known(url).0).map_err(|error| error.to_string())?;
    // There is no TLS on a socket of this machine, whatever PGSSLMODE says.
    if options.get_socket().is_some() || options.get_host().starts_with('/') {
        options = options.ssl_mode(PgSslMode::Disable);
    }
    // PgBouncer refuses this setting at the start of a connection, and PostgreSQL's default is as precise.
    Ok(options.extra_float_digits(None))
}

/// Host and port, or the folder of the socket, as a text for people.
pub fn place(server: &PgConnectOptions) -> String {
    match server.get_socket() {
        Some(socket) => format!("{}:{}", socket.display(), server.get_port()),
        None => format!("{}:{}", server.get_host(), server.get_port()),
    }
}

/// A URL for each server that this URL names.
fn one_for_each_server(url: &str) -> Result<Vec<String>, String> {
    let Some((scheme, rest)) = url.split_once("://") else { return Ok(vec![url.to_owned()]) };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let (user, hosts) = match authority.rfind('@') {
        Some(at) => authority.split_at(at + 1),
        None => ("", authority),
    };
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (mut query_hosts, mut query_ports, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let list = || value.replace("%2C", ",").replace("%2c", ",").split(',').map(str::to_owned).collect::<Vec<_>>();
        match key {
            TARGET => match value {
                "any" | "read-write" | "primary" => {}
                other => {
                    return Err(format!(
                        "target_session_attrs: expected read-write or primary, because a server writes, got {other}"
                    ));
                }
            },
            "host" => query_hosts = list(),
            "port" => query_ports = list(),
            _ => others.push(parameter.to_owned()),
        }
    }
    let hosts: Vec<&str> = hosts.split(',').collect();
    if query_ports.len() > 1 && query_ports.len() != query_hosts.len().max(hosts.len()) {
        let (ports, hosts) = (query_ports.len(), query_hosts.len().max(hosts.len()));
        return Err(format!("port: expected one for each host, got {ports} for {hosts}"));
    }
    let servers = hosts.len().max(query_hosts.len());
    if hosts.len() > 1 && query_hosts.len() > 1 {
        return Err("host: expected the hosts in one place, got them before and after the question mark".to_owned());
    }
    let nth = |list: &[String], n: usize| list.get(n).or(list.first()).cloned();
    let one = |n: usize| {
        let mut parameters: Vec<String> = Vec::new();
        parameters.extend(nth(&query_hosts, n).map(|host| format!("host={host}")));
        parameters.extend(nth(&query_ports, n).map(|port| format!("port={port}")));
        parameters.extend(others.iter().cloned());
        let host = match hosts.get(n).or(hosts.first()).copied().unwrap_or_default() {
            // The parser refuses a user without a host; the parameter overrides this one.
            "" if !user.is_empty() && !query_hosts.is_empty() => "localhost",
            host => host,
        };
        let query = if parameters.is_empty() { String::new() } else { format!("?{}", parameters.join("&")) };
        format!("{scheme}://{user}{host}{path}{query}")
    };
    Ok((0..servers).map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(url: &str) -> Vec<String> {
        DatabaseUrl::parse(url).expect(url).servers().iter().map(place).collect()
    }

    #[test]
    fn a_url_names_one_server_or_several() {
        for (url, expected) in [
            ("postgres://u:p%40@one:1/db?sslmode=disable", vec!["one:1"]),
            ("postgres://u:p,q@one:1,two:2/db?target_session_attrs=read-write", vec!["one:1", "two:2"]),
            ("postgres://u@one,two/db", vec!["one:5432", "two:5432"]),
            ("postgres://u@[::1]:1,two:2/db", vec!["[::1]:1", "two:2"]),
            ("postgres://u@/db?host=one,two&port=1,2", vec!["one:1", "two:2"]),
            ("postgres:///db?host=/tmp/a%2C/tmp/b&port=7", vec!["/tmp/a:7", "/tmp/b:7"]),
        ] {
            assert_eq!(places(url), expected, "{url}");
        }
        for (url, wrong) in [
            ("postgres://u@one,two/db?target_session_attrs=standby", "target_session_attrs"),
            ("postgres://u@one,two/db?port=1,2,3", "port"),
            ("postgres://u@one,two/db?host=three,four", "host"),
            ("rubbish", "URL"),
        ] {
            let error = DatabaseUrl::parse(url).expect_err(url);
            assert!(error.contains(wrong), "{url}: {error}");
        }
    }

    #[test]
    fn a_url_is_shown_without_its_password() {
        let url = DatabaseUrl::parse("postgres://u:secret@one,two/db").expect("it is a URL");
        assert_eq!(format!("{url:?}"), r#"["one:5432", "two:5432"]"#);
    }
}
