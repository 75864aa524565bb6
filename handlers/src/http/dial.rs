//! Connections. The name of a URL is looked up once, its addresses are checked, and the connection goes to a checked address:
//! it does not matter if the name has another address a moment later. Proxies are not used.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    time::{self, Instant},
};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::{
    address::{Network, forbidden},
    failure::{HttpError, Phase},
};

/// How many addresses of a name are tried.
const MAX_ADDRESSES: usize = 8;

/// A connection, with or without TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Finds the addresses of a name.
#[async_trait]
pub(super) trait Resolve: Send + Sync {
    async fn resolve(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The resolver of the system.
pub(super) struct System;

#[async_trait]
impl Resolve for System {
    async fn resolve(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(lookup_host((name, port)).await?.collect())
    }
}

/// Opens connections.
pub(super) struct Dialer {
    allowed: Vec<Network>,
    tls: TlsConnector,
    resolver: Arc<dyn Resolve>,
}

impl Dialer {
    pub(super) fn new(allowed: Vec<Network>, tls: ClientConfig, resolver: Arc<dyn Resolve>) -> Self {
        Self { allowed, tls: TlsConnector::from(Arc::new(tls)), resolver }
    }

    /// Opens a connection to the host of the URL, with TLS for `https`. Returns it and its remote address.
    pub(super) async fn connect(&self, url: &Url, limit: Duration) -> Result<(Box<dyn Stream>, SocketAddr), HttpError> {
        let until = Instant::now() + limit;
        let too_late = |_elapsed| HttpError::Timeout(Phase::Connecting, limit);
        time::timeout_at(until, async {
            let addresses = self.allowed_addresses(url).await?;
            let (stream, address) = connect_to_one(&addresses, until).await.map_err(HttpError::Connect)?;
            stream.set_nodelay(true).map_err(HttpError::Connect)?;
            if url.scheme() != "https" {
                return Ok((Box::new(stream) as Box<dyn Stream>, address));
            }
            let name = server_name(url).map_err(HttpError::Tls)?;
            let stream = self.tls.connect(name, stream).await.map_err(HttpError::Tls)?;
            Ok((Box::new(stream) as Box<dyn Stream>, address))
        })
        .await
        .map_err(too_late)?
    }

    async fn allowed_addresses(&self, url: &Url) -> Result<Vec<SocketAddr>, HttpError> {
        let port = url.port_or_known_default().unwrap_or(80);
        let found = match url.host() {
            Some(Host::Ipv4(address)) => vec![SocketAddr::from((address, port))],
            Some(Host::Ipv6(address)) => vec![SocketAddr::from((address, port))],
            Some(Host::Domain(name)) => self.resolver.resolve(name, port).await.map_err(HttpError::Name)?,
            None => Vec::new(),
        };
        let mut reason = None;
        let mut allowed = Vec::new();
        for address in found {
            match forbidden(address.ip(), &self.allowed) {
                Some(what) => reason = Some(what),
                None => allowed.push(address),
            }
        }
        allowed.truncate(MAX_ADDRESSES);
        match reason {
            Some(what) if allowed.is_empty() => Err(HttpError::ForbiddenAddress(what)),
            None if allowed.is_empty() => Err(HttpError::Name(io::Error::other("it has no address"))),
            _ => Ok(allowed),
        }
    }
}

/// Connects to the first address that answers. Each address gets a share of the time, so that a silent one does not use all of
/// it.
async fn connect_to_one(addresses: &[SocketAddr], until: Instant) -> io::Result<(TcpStream, SocketAddr)> {
    let mut failure = None;
    for (index, address) in addresses.iter().enumerate() {
        let left = until.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        match time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok((stream, *address)),
            Ok(Err(error)) => failure = Some(error),
            Err(_elapsed) => {
                failure.get_or_insert_with(|| io::ErrorKind::TimedOut.into());
            }
        }
    }
    Err(failure.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
}

fn server_name(url: &Url) -> io::Result<ServerName<'static>> {
    let wrong = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
    match url.host() {
        Some(Host::Ipv4(address)) => Ok(ServerName::from(IpAddr::V4(address))),
        Some(Host::Ipv6(address)) => Ok(ServerName::from(IpAddr::V6(address))),
        Some(Host::Domain(name)) => ServerName::try_from(name.trim_end_matches('.').to_owned()).map_err(wrong),
        None => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// TLS that trusts the authorities that browsers trust, and these.
///
/// # Errors
/// The PEM has no certificate, or an invalid one.
pub(super) fn tls_config(ca_certificates_pem: Option<&[u8]>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(pem) = ca_certificates_pem {
        let mut count = 0;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| format!("expected certificates as PEM ({error})"))?;
            roots.add(certificate).map_err(|error| format!("expected a certificate of an authority ({error})"))?;
            count += 1;
        }
        if count == 0 {
            return Err("expected certificates as PEM, got none".to_owned());
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_a_certificate_is_refused() {
        assert!(tls_config(None).is_ok());
        assert_eq!(tls_config(Some(b"")).unwrap_err(), "expected certificates as PEM, got none");
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(tls_config(Some(broken)).unwrap_err().starts_with("expected a certificate of an authority"));
    }
}
