//! Examines whether a server can listen on an address.

use std::io;

use server::doctor::{Examination, Finding};
use tokio::net::TcpListener;

use super::http;
use crate::{args::listen::ListenAddress, commands::listener::reachable};

const WHY: &str = "a server with this address does not start";

pub(super) async fn examine(named: &ListenAddress) -> Examination {
    let mut found = Examination::default();
    let address = match named.resolve() {
        Ok(address) => address,
        Err(why) => {
            let mend = "name an address of this machine, such as 127.0.0.1; `getent hosts NAME` asks the same";
            found.add(Finding::error("listen-name", why, WHY, mend));
            return found;
        }
    };
    let Err(error) = TcpListener::bind(address).await else {
        found.fact("state", "free");
        return found;
    };
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let there = http::get(&reachable(address).to_string(), "/healthz").await;
            if there.is_ok_and(|answer| answer.field("status").as_deref() == Some("alive")) {
                found.fact("state", "a server listens there");
            } else {
                found.add(Finding::error(
                    "listen-taken",
                    format!("another program listens on {address}"),
                    WHY,
                    format!(
                        "`ss -ltnp 'sport = :{}'` says which; stop it, or choose another port with --listen",
                        address.port()
                    ),
                ));
            }
        }
        io::ErrorKind::AddrNotAvailable => found.add(Finding::error(
            "listen-address",
            format!("this machine has no address {}", address.ip()),
            WHY,
            "`ip address` shows those it has; choose one of them with --listen",
        )),
        io::ErrorKind::PermissionDenied => found.add(Finding::error(
            "listen-permission",
            format!("this user may not listen on port {}", address.port()),
            WHY,
            "choose a port from 1024 on with --listen, or let the program: `setcap cap_net_bind_service=+ep ops`",
        )),
        _ => found.add(Finding::error(
            "listen-address",
            format!("nobody can listen on {address}: {error}"),
            WHY,
            "choose another address with --listen",
        )),
    }
    found
}
