//! Finds a server: tries one address after the other, with backoff, until a server answers `Hello` with `Welcome`.

use std::time::Duration;

use proto::v1::{self, connect_request, connect_response, worker_service_client::WorkerServiceClient};
use tokio::{
    sync::mpsc,
    time::{self, Instant},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Request, Status, Streaming,
    metadata::AsciiMetadataValue,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use crate::{
    api::{config::WorkerConfig, error::WorkerError},
    dial::{
        backoff::Backoff,
        evidence::{refuses, says_outage},
        link::Link,
    },
    grant::outage::retry_limit,
};

/// How long a TCP or TLS handshake may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than a server waits for its database before it answers DATABASE_UNAVAILABLE, because the worker needs that answer.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(15);
/// Together, these are the time until the worker notices that a connection is dead.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Frames between the loop and the socket. Only a few, because a more urgent frame can not overtake one that waits here.
const OUTBOUND_FRAMES: usize = 2;
/// The server's limit for its messages, and some room.
const MAX_MESSAGE_BYTES: usize = 17 * 1024 * 1024;

/// The addresses, and the delay before the next try.
#[derive(Debug)]
pub(crate) struct Dialer {
    endpoints: Vec<Endpoint>,
    next: usize,
    backoff: Backoff,
    authorization: Option<AsciiMetadataValue>,
}

/// A stream after `Welcome`.
#[derive(Debug)]
pub(crate) struct Dialed {
    pub(crate) welcome: v1::Welcome,
    /// When `Hello` was sent. Standing leases count from here.
    pub(crate) hello_sent: Instant,
    pub(crate) link: Link,
    pub(crate) wire: Wire,
}

/// A failed try.
#[derive(Debug)]
pub(crate) struct Undialed {
    pub(crate) status: Status,
    /// The index of the tried address.
    pub(crate) address: usize,
    /// When the try began, if it proved that no server can end a lease there.
    pub(crate) evidence: Option<Instant>,
}

/// Both directions of a stream.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) tx: mpsc::Sender<v1::ConnectRequest>,
    pub(crate) rx: Streaming<v1::ConnectResponse>,
}

impl Dialer {
    /// # Errors
    /// `Config`: the token or the certificate is invalid.
    pub(crate) fn new(config: &WorkerConfig, endpoints: Vec<Endpoint>) -> Result<Self, WorkerError> {
        let wrong = |field: &str, error: &dyn std::fmt::Display| WorkerError::Config(vec![format!("{field}: {error}")]);
        let authorization = config.token.as_ref().map(|token| {
            let mut value: AsciiMetadataValue =
                format!("Bearer {token}").parse().map_err(|error| wrong("token", &error))?;
            value.set_sensitive(true);
            Ok::<_, WorkerError>(value)
        });
        let mut prepared = Vec::new();
        for endpoint in endpoints {
            let is_tls = endpoint.uri().scheme_str() == Some("https");
            let mut endpoint = endpoint
                .connect_timeout(CONNECT_TIMEOUT)
                .tcp_nodelay(true)
                .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
                .keep_alive_timeout(KEEPALIVE_TIMEOUT)
                .keep_alive_while_idle(true);
            if is_tls {
                let mut tls = ClientTlsConfig::new();
                if let Some(pem) = &config.ca_certificate_pem {
                    tls = tls.ca_certificate(Certificate::from_pem(pem));
                }
                endpoint = endpoint.tls_config(tls).map_err(|error| wrong("ca_certificate_pem", &error))?;
            }
            prepared.push(endpoint);
        }
        // A random start spreads workers that start together over the replicas.
        let next = rand::random_range(0..prepared.len().max(1));
        Ok(Self { endpoints: prepared, next, backoff: Backoff::default(), authorization: authorization.transpose()? })
    }

    /// The next try. The future borrows nothing, so the worker keeps working while it runs. `lease` bounds the delay before the try.
    pub(crate) fn dial(
        &mut self,
        hello: v1::Hello,
        at_once: bool,
        lease: Duration,
    ) -> impl Future<Output = Result<Dialed, Undialed>> + use<> {
        let address = self.next % self.endpoints.len();
        let endpoint = self.endpoints[address].clone();
        self.next += 1;
        let limit = retry_limit(lease, self.endpoints.len());
        let delay = if at_once { Duration::ZERO } else { self.backoff.next_delay().min(limit) };
        let authorization = self.authorization.clone();
        async move {
            time::sleep(delay).await;
            let (asked, server) = (Instant::now(), endpoint.uri().clone());
            let (status, is_evidence) = match connect(&endpoint).await {
                Ok(channel) => match greet(channel, endpoint.connect_lazy(), hello, authorization).await {
                    Ok(dialed) => return Ok(dialed),
                    Err(status) => {
                        let is_evidence = says_outage(&status);
                        (status, is_evidence)
                    }
                },
                Err(status) => (status, refuses(&server, CONNECT_TIMEOUT).await),
            };
            let (code, error) = (status.code(), status.message());
            tracing::warn!(%server, ?code, error, leases_frozen_there = is_evidence, "connecting failed");
            Err(Undialed { status, address, evidence: is_evidence.then_some(asked) })
        }
    }

    /// A stream works: the next delay is short again.
    pub(crate) fn succeeded(&mut self) {
        self.backoff.reset();
    }
}

/// Whether another try is useless for a worker that has had no `Welcome` yet.
pub(crate) fn is_final(code: Code) -> bool {
    matches!(code, Code::InvalidArgument | Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented)
}

async fn connect(endpoint: &Endpoint) -> Result<Channel, Status> {
    let connected = time::timeout(CONNECT_TIMEOUT, endpoint.connect()).await;
    connected
        .map_err(|_elapsed| Status::unavailable("no connection within 5 s"))?
        .map_err(|error| Status::unavailable(with_causes(&error)))
}

/// Sends `Hello` and waits for `Welcome`. `calls` is a connection to the same server for unary calls.
async fn greet(
    channel: Channel,
    calls: Channel,
    hello: v1::Hello,
    authorization: Option<AsciiMetadataValue>,
) -> Result<Dialed, Status> {
    let worker_id = hello.resume.as_ref().map(|resume| resume.worker_id.clone());
    let opening = open(channel, hello, authorization.clone());
    let (welcome, hello_sent, wire) = time::timeout(WELCOME_TIMEOUT, opening)
        .await
        .map_err(|_elapsed| Status::unavailable("no Welcome within 15 s"))??;
    if worker_id.is_some_and(|worker_id| worker_id != welcome.worker_id) {
        tracing::warn!(worker_id = welcome.worker_id, "the server no longer knew this worker");
    }
    let link = Link { channel: calls, worker_id: welcome.worker_id.clone(), authorization };
    Ok(Dialed { welcome, hello_sent, link, wire })
}

async fn open(
    channel: Channel,
    hello: v1::Hello,
    authorization: Option<AsciiMetadataValue>,
) -> Result<(v1::Welcome, Instant, Wire), Status> {
    let mut client = WorkerServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let (tx, outbound) = mpsc::channel(OUTBOUND_FRAMES);
    let hello_sent = Instant::now();
    let frame = v1::ConnectRequest { frame: Some(connect_request::Frame::Hello(hello)) };
    // The channel is new and has room.
    tx.try_send(frame).map_err(|_full| Status::internal("no room for Hello"))?;
    let mut request = Request::new(ReceiverStream::new(outbound));
    if let Some(authorization) = authorization {
        request.metadata_mut().insert("authorization", authorization);
    }
    let mut rx = client.connect(request).await?.into_inner();
    match rx.message().await?.and_then(|response| response.frame) {
        Some(connect_response::Frame::Welcome(welcome)) => Ok((welcome, hello_sent, Wire { tx, rx })),
        Some(_) => Err(Status::unavailable("the first frame was not Welcome")),
        None => Err(Status::unavailable("the stream ended before Welcome")),
    }
}

/// The error with its sources: tonic's transport errors name the cause only there.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
