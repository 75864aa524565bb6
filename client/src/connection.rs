//! The connection to a server, and a client for each service on it.

use std::time::Duration;

use proto::v1::{
    artifact_service_client::ArtifactServiceClient, run_service_client::RunServiceClient,
    session_service_client::SessionServiceClient, worker_service_client::WorkerServiceClient,
};
use tonic::transport::{Channel, Endpoint, Error};

/// The largest message that a server takes or sends, in bytes.
const MESSAGE_LIMIT: usize = 16 * 1024 * 1024;

/// How long a call may take to be answered, or a stream to begin: longer than the longest wait of a call. A call on a connection that
/// breaks as it opens may never end by itself.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(45);

/// How to connect.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a connection may take to open: 5 s by default, since a server on the same network answers in milliseconds.
    pub connect_timeout: Duration,
    /// Find a server that is gone while nothing is sent. On by default, because a watch may be silent for long.
    pub pings: Option<Pings>,
    /// The `user-agent` header.
    pub user_agent: &'static str,
}

/// Pings on an HTTP/2 connection, also while no call is open.
#[derive(Clone, Copy, Debug)]
pub struct Pings {
    /// The time between two pings: 15 s by default.
    pub interval: Duration,
    /// A connection on which a ping is not answered within this time is dead: 10 s by default.
    pub timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            pings: Some(Pings::default()),
            user_agent: concat!("ops-client/", env!("CARGO_PKG_VERSION")),
        }
    }
}

impl Default for Pings {
    fn default() -> Self {
        Self { interval: Duration::from_secs(15), timeout: Duration::from_secs(10) }
    }
}

impl Settings {
    fn endpoint(&self, url: &str) -> Result<Endpoint, Error> {
        let endpoint = Endpoint::from_shared(url.to_owned())?
            .connect_timeout(self.connect_timeout)
            .timeout(ANSWER_TIMEOUT)
            .user_agent(self.user_agent)?;
        Ok(match self.pings {
            None => endpoint,
            Some(pings) => endpoint
                .http2_keep_alive_interval(pings.interval)
                .keep_alive_timeout(pings.timeout)
                .keep_alive_while_idle(true),
        })
    }
}

/// The services of one server. Clones share the connection, which opens anew when it is lost.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
}

impl Client {
    /// Connects at once to an address such as `http://127.0.0.1:7070`.
    ///
    /// # Errors
    /// The address or the user agent is malformed, or the server can not be reached.
    pub async fn connect(url: &str, settings: &Settings) -> Result<Self, Error> {
        Ok(Self { channel: settings.endpoint(url)?.connect().await? })
    }

    /// Connects with the first call. Needs a Tokio runtime.
    ///
    /// # Errors
    /// The address or the user agent is malformed.
    pub fn lazy(url: &str, settings: &Settings) -> Result<Self, Error> {
        Ok(Self { channel: settings.endpoint(url)?.connect_lazy() })
    }

    /// The connection itself, for services that are not part of the contract.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Sessions.
    #[must_use]
    pub fn sessions(&self) -> SessionServiceClient<Channel> {
        SessionServiceClient::new(self.channel())
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT)
    }

    /// Runs, and their logs.
    #[must_use]
    pub fn runs(&self) -> RunServiceClient<Channel> {
        RunServiceClient::new(self.channel())
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT)
    }

    /// Workers: both what operators ask about them and what workers call.
    #[must_use]
    pub fn workers(&self) -> WorkerServiceClient<Channel> {
        WorkerServiceClient::new(self.channel())
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT)
    }

    /// Artifacts.
    #[must_use]
    pub fn artifacts(&self) -> ArtifactServiceClient<Channel> {
        ArtifactServiceClient::new(self.channel())
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT)
    }
}
