//! The server of an operator's verb, and its output format.

use std::{fmt, net::IpAddr, str::FromStr};

use clap::Args;
use tonic::transport::Uri;

use crate::output::Format;

/// Where the server is.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Server and output")]
pub(crate) struct Target {
    /// Address of the server
    #[arg(long, global = true, env = "OPS_SERVER", value_name = "URL", default_value = "http://127.0.0.1:7070")]
    pub(crate) server: ServerAddress,
}

/// How to print.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Server and output")]
pub(crate) struct Output {
    /// What to print: for people, the API's JSON, one JSON object a line, or only ids
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
}

/// The address of a server, as `http://HOST:PORT` or `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerAddress(Uri);

impl ServerAddress {
    pub(crate) fn uri(&self) -> &Uri {
        &self.0
    }

    /// Its IP address, if it is not a host name.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.0.host()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }
}

impl FromStr for ServerAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri =
            url.parse().map_err(|error| format!("expected an address such as `http://127.0.0.1:7070`: {error}"))?;
        if uri.scheme_str() != Some("http") {
            return Err("expected an address that begins with `http://`".to_owned());
        }
        if uri.path() != "/" || uri.query().is_some() {
            return Err("expected an address without a path, such as `http://127.0.0.1:7070`".to_owned());
        }
        // A server knows no passwords. Without this, each message about the address would show it.
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            let place = text.rsplit('@').next().unwrap_or_default();
            return place.parse();
        }
        match uri.authority() {
            Some(authority) if authority.port_u16().is_some_and(|port| port > 0) => Ok(Self(uri)),
            _ => Err("expected an address with a port, such as `http://127.0.0.1:7070`".to_owned()),
        }
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.to_string().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_leave_out_its_scheme() {
        let address: ServerAddress = "localhost:7070".parse().unwrap();
        assert_eq!(address.to_string(), "http://localhost:7070");
        assert_eq!(address, "http://localhost:7070/".parse().unwrap());
        assert_eq!("[::1]:7070".parse::<ServerAddress>().unwrap().to_string(), "http://[::1]:7070");
    }

    #[test]
    fn a_password_is_left_out() {
        for text in ["http://user:secret@host:7070", "user:secret@host:7070", "http://secret@host:7070/"] {
            assert_eq!(text.parse::<ServerAddress>().unwrap().to_string(), "http://host:7070", "{text}");
        }
    }

    #[test]
    fn an_address_needs_a_port_and_has_no_path() {
        for text in [
            "http://localhost",
            "localhost:0",
            "http://localhost:70700",
            "http://localhost:7070/x",
            "ftp://a:1",
            "a b",
            "",
        ] {
            assert!(text.parse::<ServerAddress>().is_err(), "{text}");
        }
    }
}
