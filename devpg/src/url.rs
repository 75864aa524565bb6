//! Connection URLs that sqlx and libpq both read.

use std::path::Path;

/// A URL over the Unix socket. The server trusts everybody who may enter the socket's folder.
pub(crate) fn socket_url(database: &str, socket_dir: &Path, port: u16) -> String {
    let (database, host) = (encode(database), encode(&socket_dir.to_string_lossy()));
    format!("postgres://postgres@localhost/{database}?host={host}&port={port}")
}

/// A URL over loopback, where the server asks for the password.
pub(crate) fn tcp_url(database: &str, password: &str, port: u16) -> String {
    format!("postgres://postgres:{}@127.0.0.1:{port}/{}", encode(password), encode(database))
}

/// Percent-encodes, except for `/`, which is allowed here and keeps paths readable.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sqlx::postgres::PgConnectOptions;

    #[test]
    fn sqlx_reads_back_what_was_put_into_a_url() {
        let url = super::socket_url("a db", Path::new("/tmp/so & ßo"), 5433);
        let options: PgConnectOptions = url.parse().unwrap();
        assert_eq!(options.get_database(), Some("a db"));
        assert_eq!(options.get_socket().map(|it| it.to_string_lossy().into_owned()).as_deref(), Some("/tmp/so & ßo"));
        assert_eq!((options.get_port(), options.get_username()), (5433, "postgres"));
    }
}
