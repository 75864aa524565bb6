//! Reaches the servers, and goes on with the next one when a call fails.

use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use proto::v1::run_service_client::RunServiceClient;
use proto::v1::session_service_client::SessionServiceClient;
use proto::v1::worker_service_client::WorkerServiceClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::findings::Notebook;

/// How long a call may take, unless it says otherwise.
const PATIENCE: Duration = Duration::from_secs(8);
/// A connection that carries nothing is found out by pings.
const PING: Duration = Duration::from_secs(2);

/// One client's way to the servers.
#[derive(Debug, Clone)]
pub struct Caller {
    channels: Vec<Channel>,
    at: usize,
    notebook: Arc<Notebook>,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The gRPC code, such as `Unavailable`.
    pub code: String,
    /// The contract's reason; empty if the server did not say one.
    pub reason: String,
    /// The server said that nothing was done.
    pub is_definite: bool,
    /// How long to wait before the same is tried again.
    pub delay: Duration,
}

impl Caller {
    /// Calls are made when they are needed.
    ///
    /// # Errors
    ///
    /// None that a socket address can cause.
    pub fn new(servers: &[SocketAddr], notebook: Arc<Notebook>) -> Result<Self> {
        let channel = |server: &SocketAddr| -> Result<Channel> {
            let endpoint = Endpoint::from_shared(format!("http://{server}"))?
                .connect_timeout(PING)
                .http2_keep_alive_interval(PING)
                .keep_alive_timeout(PING)
                .keep_alive_while_idle(true);
            Ok(endpoint.connect_lazy())
        };
        let channels = servers.iter().map(channel).collect::<Result<_>>()?;
        Ok(Self { channels, at: 0, notebook })
    }

    pub(super) fn runs(&self) -> RunServiceClient<Channel> {
        RunServiceClient::new(self.channels[self.at].clone())
    }

    pub(super) fn sessions(&self) -> SessionServiceClient<Channel> {
        SessionServiceClient::new(self.channels[self.at].clone())
    }

    pub(super) fn workers(&self) -> WorkerServiceClient<Channel> {
        WorkerServiceClient::new(self.channels[self.at].clone())
    }

    /// Goes on with the next server.
    pub(super) fn turn(&mut self) {
        self.at = (self.at + 1) % self.channels.len();
    }

    /// Waits for a call, with the usual patience.
    pub(super) async fn call<T>(
        &mut self,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, Refusal> {
        self.call_for(PATIENCE, call).await
    }

    pub(super) async fn call_for<T>(
        &mut self,
        patience: Duration,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, Refusal> {
        let late = |_| Err(Status::deadline_exceeded("the client has waited long enough"));
        let answer = tokio::time::timeout(patience, call).await.unwrap_or_else(late);
        answer.map(tonic::Response::into_inner).map_err(|status| self.refused(&status))
    }

    /// Reads a refusal, holds it to what the contract says of refusals, and turns to another server if that may help.
    pub(super) fn refused(&mut self, status: &Status) -> Refusal {
        let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
        let retry = status.get_details_retry_info().and_then(|info| info.retry_delay);
        self.notebook.count(&format!("refused {:?} {reason}", status.code()));
        let must_say_when = matches!(
            reason.as_str(),
            "DATABASE_UNAVAILABLE" | "DATABASE_BUSY" | "OVERLOADED" | "REQUEST_IN_PROGRESS"
        );
        if must_say_when && retry.is_none() {
            self.notebook.violation(format!("{reason} was answered without RetryInfo"));
        }
        if status.code() == Code::Unavailable && reason.is_empty() && status.source().is_none() {
            self.notebook.count("Unavailable without a reason, perhaps by the server");
        }
        if reason == "INTERNAL" {
            self.notebook.violation(format!("a server had a defect: {}", status.message()));
        }
        if !matches!(
            status.code(),
            Code::InvalidArgument | Code::NotFound | Code::FailedPrecondition | Code::AlreadyExists
        ) {
            self.turn();
        }
        let is_definite = matches!(
            reason.as_str(),
            "INVALID_FIELD" | "SESSION_NOT_FOUND" | "SESSION_CLOSED" | "REQUEST_ID_REUSED" | "OVERLOADED"
        );
        let delay = retry.unwrap_or(Duration::from_millis(200));
        Refusal { code: format!("{:?}", status.code()), reason, is_definite, delay }
    }
}
