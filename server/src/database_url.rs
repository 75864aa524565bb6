//! The database's URL, as people write it.

use engine::db::DatabaseUrl;

/// Reads a URL. The error says what was expected, and shows no part of the URL but its scheme.
pub fn parse(url: &str) -> Result<DatabaseUrl, String> {
    match url.split_once("://") {
        Some(("postgres" | "postgresql", _)) => DatabaseUrl::parse(url),
        Some((scheme, _)) if scheme.chars().all(|c| c.is_ascii_alphanumeric()) => {
            Err(format!("got a URL that begins with {scheme}://"))
        }
        _ => Err("got something else".to_owned()),
    }
}

/// Where the database is and who uses it, for people, without secrets.
pub fn place(url: &str) -> String {
    let Ok(url) = parse(url) else { return "a database whose URL is wrong".to_owned() };
    let options = url.options();
    let (user, port) = (options.get_username(), options.get_port());
    let database = options.get_database().unwrap_or(user);
    let host = match options.get_socket() {
        Some(socket) => format!("{}, port {port}", socket.display()),
        None => format!("{}:{port}", options.get_host()),
    };
    format!("database {database} at {host}, role {user}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_url_of_postgresql_is_read_and_no_error_shows_a_secret() {
        for url in ["postgres://u:hunter2@h:5/d", "postgresql://u:hunter2@h:5/d"] {
            assert!(parse(url).is_ok());
            assert_eq!(place(url), "database d at h:5, role u");
        }
        for (url, said) in [
            ("mysql://u:hunter2@h/d", "mysql://"),
            ("hunter2", "something else"),
            ("u:hunter2@h://d", "something else"),
            ("http://u:hunter2@h/d", "http://"),
            ("Postgres://u:hunter2@h/d", "Postgres://"),
        ] {
            let error = parse(url).unwrap_err();
            assert!(error.contains(said) && !error.contains("hunter2"), "{url}: {error}");
        }
    }

    #[test]
    fn a_socket_is_named_by_its_folder() {
        let url = "postgres://u@localhost/d?host=/run/postgresql";
        assert_eq!(place(url), "database d at /run/postgresql, port 5432, role u");
    }
}
