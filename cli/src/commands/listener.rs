//! The port that a server listens on.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use anyhow::{Context, Result, anyhow};
use tokio::net::TcpListener;

/// Binds an address. `flag` names it in the error.
pub(super) async fn bind(address: SocketAddr, flag: &str) -> Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(anyhow!(
            "can not listen on {address}: another program uses it; stop that program, or choose another address with {flag}"
        )),
        bound => bound.with_context(|| format!("can not listen on {address}")),
    }
}

/// The address by which this machine reaches a listener. A listener on all addresses is reached on loopback.
pub(super) fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_error_of_a_taken_port_says_what_to_do() {
        let first = bind("127.0.0.1:0".parse().unwrap(), "--listen").await.unwrap();
        let error = bind(first.local_addr().unwrap(), "--listen").await.unwrap_err().to_string();
        assert!(
            error.ends_with("another program uses it; stop that program, or choose another address with --listen"),
            "{error}"
        );
    }

    #[test]
    fn a_listener_on_all_addresses_is_reached_on_loopback() {
        assert_eq!(reachable("0.0.0.0:7".parse().unwrap()).to_string(), "127.0.0.1:7");
        assert_eq!(reachable("[::]:7".parse().unwrap()).to_string(), "[::1]:7");
        assert_eq!(reachable("10.1.2.3:7".parse().unwrap()).to_string(), "10.1.2.3:7");
    }
}
