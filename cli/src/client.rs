//! The connection to a server, and a client for each service on it.

use std::time::Duration;

use anyhow::Result;
use proto::v1::{
    artifact_service_client::ArtifactServiceClient, run_service_client::RunServiceClient,
    session_service_client::SessionServiceClient, worker_service_client::WorkerServiceClient,
};
use tonic::transport::{Channel, Endpoint};

use crate::{args::target::ServerAddress, errors::Unreachable};

/// The largest message that the server takes or sends.
const MESSAGE_LIMIT: usize = 16 * 1024 * 1024;
/// A server on this network answers in milliseconds; one that does not is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A watch may be silent for long. Pings find out whether anyone is still there.
const PING_INTERVAL: Duration = Duration::from_secs(15);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// The services of one server. Clones share the connection, which is made anew when it is lost.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) sessions: SessionServiceClient<Channel>,
    pub(crate) runs: RunServiceClient<Channel>,
    pub(crate) workers: WorkerServiceClient<Channel>,
    pub(crate) artifacts: ArtifactServiceClient<Channel>,
}

impl Client {
    /// Connects now, so that a server that is not there is noticed before anything is done.
    pub(crate) async fn connect(address: &ServerAddress) -> Result<Self> {
        let channel = Endpoint::from(address.uri().clone())
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .user_agent(concat!("ops/", env!("CARGO_PKG_VERSION")))?
            .connect()
            .await
            .map_err(|source| Unreachable { address: address.clone(), source })?;
        Ok(Self {
            sessions: SessionServiceClient::new(channel.clone())
                .max_decoding_message_size(MESSAGE_LIMIT)
                .max_encoding_message_size(MESSAGE_LIMIT),
            runs: RunServiceClient::new(channel.clone())
                .max_decoding_message_size(MESSAGE_LIMIT)
                .max_encoding_message_size(MESSAGE_LIMIT),
            workers: WorkerServiceClient::new(channel.clone())
                .max_decoding_message_size(MESSAGE_LIMIT)
                .max_encoding_message_size(MESSAGE_LIMIT),
            artifacts: ArtifactServiceClient::new(channel)
                .max_decoding_message_size(MESSAGE_LIMIT)
                .max_encoding_message_size(MESSAGE_LIMIT),
        })
    }
}
