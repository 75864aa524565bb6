//! Where a server listens.

use std::net::SocketAddr;

use clap::Args;

use crate::errors::UsageError;

/// Where to listen.
#[derive(Args, Clone, Debug)]
pub(crate) struct Listen {
    /// Address to listen on; port 0 takes any free one
    #[arg(long, env = "OPS_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:7070")]
    pub(crate) listen: SocketAddr,
    /// Listen on addresses that other machines reach, although the server has no authentication
    #[arg(long, env = "OPS_INSECURE", value_parser = clap::builder::BoolishValueParser::new())]
    pub(crate) insecure: bool,
}

impl Listen {
    /// The address, if it is safe. There is no authentication, so everybody who reaches the address may run anything.
    pub(crate) fn address(&self) -> Result<SocketAddr, UsageError> {
        if self.listen.ip().to_canonical().is_loopback() || self.insecure {
            return Ok(self.listen);
        }
        let wrong = format!(
            "{} can be reached from other machines, and the server has no authentication; listen on 127.0.0.1, or set \
             --insecure if the network is yours alone",
            self.listen
        );
        Err(UsageError::settings([("listen".to_owned(), wrong)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_beyond_loopback_needs_a_flag_of_consent() {
        let listen = |address: &str, insecure| Listen { listen: address.parse().unwrap(), insecure }.address();
        for address in ["127.0.0.1:7070", "127.9.9.9:0", "[::1]:7070", "[::ffff:127.0.0.1]:7070"] {
            assert!(listen(address, false).is_ok(), "{address}");
        }
        for address in ["0.0.0.0:7070", "[::]:7070", "10.0.0.1:7070"] {
            assert!(listen(address, false).is_err(), "{address}");
            assert!(listen(address, true).is_ok(), "{address}");
        }
    }
}
