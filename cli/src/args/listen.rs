//! Where a server listens.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr, ToSocketAddrs},
    str::FromStr,
};

use clap::Args;

use crate::errors::UsageError;

/// Where to listen.
#[derive(Args, Clone, Debug)]
pub(crate) struct Listen {
    /// Address or name, and port, to listen on; port 0 takes any free one
    #[arg(long, env = "OPS_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:7070")]
    pub(crate) listen: ListenAddress,
    /// Listen on addresses that other machines reach, although the server has no authentication
    #[arg(long, env = "OPS_INSECURE", value_parser = clap::builder::BoolishValueParser::new())]
    pub(crate) insecure: bool,
}

impl Listen {
    /// The address, if it is safe. There is no authentication, so everybody who reaches the address may run anything.
    pub(crate) fn address(&self) -> Result<SocketAddr, UsageError> {
        let wrong = |why: String| UsageError::settings([("listen".to_owned(), why)]);
        let address = self.listen.resolve().map_err(wrong)?;
        if address.ip().to_canonical().is_loopback() || self.insecure {
            return Ok(address);
        }
        Err(wrong(format!(
            "{} can be reached from other machines, and the server has no authentication; listen on 127.0.0.1, or set \
             --insecure if the network is yours alone",
            self.listen
        )))
    }
}

/// An address to listen on, as `127.0.0.1:7070`, `[::1]:7070` or `localhost:7070`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenAddress {
    host: String,
    port: u16,
}

impl ListenAddress {
    /// The address of the name. Of several, the first one of IPv4: clients on this machine use 127.0.0.1 if they are given no name.
    pub(crate) fn resolve(&self) -> Result<SocketAddr, String> {
        let unknown = |why: String| format!("the name {} can not be resolved on this machine: {why}", self.host);
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let found: Vec<_> = (host, self.port).to_socket_addrs().map_err(|error| unknown(error.to_string()))?.collect();
        let first = found.iter().find(|address| address.is_ipv4()).or(found.first()).copied();
        first.ok_or_else(|| unknown("it has no address".to_owned()))
    }

    /// This port on loopback.
    pub(crate) fn on_loopback(port: u16) -> Self {
        Self { host: Ipv4Addr::LOCALHOST.to_string(), port }
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected =
            || "expected an address or name with a port, such as `127.0.0.1:7070` or `localhost:7070`".to_owned();
        let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
        let is_name = host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
        if text.parse::<SocketAddr>().is_err() && (host.is_empty() || !is_name) {
            return Err(expected());
        }
        Ok(Self { host: host.to_owned(), port: port.parse().map_err(|_| expected())? })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_beyond_loopback_needs_a_flag_of_consent() {
        let listen = |address: &str, insecure| Listen { listen: address.parse().unwrap(), insecure }.address();
        for address in ["127.0.0.1:7070", "127.9.9.9:0", "[::1]:7070", "[::ffff:127.0.0.1]:7070", "localhost:0"] {
            assert!(listen(address, false).is_ok(), "{address}");
        }
        for address in ["0.0.0.0:7070", "[::]:7070", "10.0.0.1:7070"] {
            assert!(listen(address, false).is_err(), "{address}");
            assert!(listen(address, true).is_ok(), "{address}");
        }
    }

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for (text, resolved) in [("127.0.0.1:7", "127.0.0.1:7"), ("[::1]:7", "[::1]:7"), ("localhost:7", "127.0.0.1:7")]
        {
            let address: ListenAddress = text.parse().unwrap();
            assert_eq!(
                (address.to_string().as_str(), address.resolve().unwrap().to_string().as_str()),
                (text, resolved)
            );
        }
        for wrong in ["", "7070", "localhost", ":7070", "localhost:", "localhost:70700", "::1:7", "a b:7", "http://a:7"]
        {
            assert!(wrong.parse::<ListenAddress>().is_err(), "{wrong}");
        }
        let unknown = "no-such-name.invalid:7".parse::<ListenAddress>().unwrap().resolve().unwrap_err();
        assert!(
            unknown.starts_with("the name no-such-name.invalid can not be resolved on this machine: "),
            "{unknown}"
        );
    }
}
