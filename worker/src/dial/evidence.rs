//! What a failed try proves: that no server can end a lease there, or nothing. `grant/outage.rs` says what follows.

use std::{io, time::Duration};

use tokio::{
    net::{TcpStream, lookup_host},
    time,
};
use tonic::{Code, Status, transport::Uri};
use tonic_types::StatusExt;

/// Whether all hosts of an address actively refuse connections. A name may have several hosts, and the error of a transport is
/// only about the last one, so each host is tried here. One silent host is enough to prove nothing.
pub(crate) async fn refuses(uri: &Uri, timeout: Duration) -> bool {
    let Some(host) = uri.host() else { return false };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let asking = async {
        let mut asked = 0;
        for address in lookup_host((host, port)).await.ok()? {
            if !TcpStream::connect(address).await.is_err_and(|error| is_refusal(&error)) {
                return None;
            }
            asked += 1;
        }
        (asked > 0).then_some(())
    };
    matches!(time::timeout(timeout, asking).await, Ok(Some(())))
}

fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset)
}

/// Whether a server has said this, and not a proxy or the transport.
pub(crate) fn is_of_server(status: &Status) -> bool {
    status.get_details_error_info().is_some_and(|info| info.domain == "ops")
}

/// Whether a server says that it can end no lease: it does not reach its database, or it shuts down.
pub(crate) fn says_outage(status: &Status) -> bool {
    status.code() == Code::Unavailable
        && status.get_details_error_info().is_some_and(|info| {
            info.domain == "ops" && matches!(info.reason.as_str(), "DATABASE_UNAVAILABLE" | "SHUTTING_DOWN")
        })
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tonic_types::ErrorDetails;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    fn status(code: Code, reason: &str) -> Status {
        Status::with_error_details(code, "", ErrorDetails::with_error_info(reason, "ops", []))
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_refuses_and_one_that_is_served_does_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri: Uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        assert!(!refuses(&uri, TIMEOUT).await);
        drop(listener);
        assert!(refuses(&uri, TIMEOUT).await);
    }

    #[tokio::test]
    async fn a_name_that_is_not_found_proves_nothing() {
        assert!(!refuses(&Uri::from_static("http://no-such-host.invalid:1"), TIMEOUT).await);
    }

    #[test]
    fn only_the_two_reasons_are_evidence() {
        assert!(says_outage(&status(Code::Unavailable, "DATABASE_UNAVAILABLE")));
        assert!(says_outage(&status(Code::Unavailable, "SHUTTING_DOWN")));
        assert!(!says_outage(&status(Code::Unavailable, "OVERLOADED")));
        assert!(!says_outage(&status(Code::Internal, "DATABASE_UNAVAILABLE")));
        assert!(!says_outage(&Status::unavailable("a proxy without a server behind it")));
    }
}
