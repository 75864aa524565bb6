//! Reaches the servers: after a failure the next call goes to the next server.

use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use client::{Client, Pings, Settings};
use proto::v1::run_service_client::RunServiceClient;
use proto::v1::session_service_client::SessionServiceClient;
use proto::v1::worker_service_client::WorkerServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::findings::SharedFindings;

/// The default time limit of a call.
const CALL_TIMEOUT: Duration = Duration::from_secs(8);
/// The ping settings: short, so that pings find a connection that carries nothing.
const PING: Duration = Duration::from_secs(2);
/// The wait before a retry if the server names none.
const RETRY_DELAY: Duration = Duration::from_millis(200);

/// The connections of one actor to all servers.
#[derive(Debug, Clone)]
pub struct Caller {
    clients: Vec<Client>,
    at: usize,
    findings: Arc<SharedFindings>,
}

/// Why a call failed, as the history and the retries need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The gRPC code, such as `Unavailable`.
    pub code: String,
    /// The contract's reason; empty without one.
    pub reason: String,
    /// The server says that it did nothing.
    pub is_definite: bool,
    /// How long to wait before a retry.
    pub delay: Duration,
}

impl Caller {
    /// Connects with the first call.
    ///
    /// # Errors
    ///
    /// None that a socket address can cause.
    pub fn new(servers: &[SocketAddr], findings: Arc<SharedFindings>) -> Result<Self> {
        let settings = Settings {
            connect_timeout: PING,
            pings: Some(Pings { interval: PING, timeout: PING }),
            user_agent: "ops-faults",
        };
        let client = |server: &SocketAddr| Client::lazy(&format!("http://{server}"), &settings);
        let clients = servers.iter().map(client).collect::<Result<_, _>>()?;
        Ok(Self { clients, at: 0, findings })
    }

    pub(super) fn runs(&self) -> RunServiceClient<Channel> {
        self.clients[self.at].runs()
    }

    pub(super) fn sessions(&self) -> SessionServiceClient<Channel> {
        self.clients[self.at].sessions()
    }

    pub(super) fn workers(&self) -> WorkerServiceClient<Channel> {
        self.clients[self.at].workers()
    }

    /// Sends later calls to the next server.
    pub(super) fn next_server(&mut self) {
        self.at = (self.at + 1) % self.clients.len();
    }

    /// Waits for a call, with the default time limit.
    pub(super) async fn call<T>(
        &mut self,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, Failure> {
        self.call_for(CALL_TIMEOUT, call).await
    }

    pub(super) async fn call_for<T>(
        &mut self,
        timeout: Duration,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, Failure> {
        let late = |_| Err(Status::deadline_exceeded("the client has waited long enough"));
        let answer = tokio::time::timeout(timeout, call).await.unwrap_or_else(late);
        answer.map(tonic::Response::into_inner).map_err(|status| self.failed(&status))
    }

    /// Reads an error, checks it against the contract, and moves to the next server if that may help.
    pub(super) fn failed(&mut self, status: &Status) -> Failure {
        let refusal = client::Refusal::from(status);
        let reason = refusal.reason.unwrap_or_default();
        self.findings.count(&format!("refused {:?} {reason}", status.code()));
        let needs_delay =
            matches!(reason.as_str(), "DATABASE_UNAVAILABLE" | "DATABASE_BUSY" | "OVERLOADED" | "REQUEST_IN_PROGRESS");
        if needs_delay && refusal.retry_delay.is_none() {
            self.findings.violation(format!("{reason} was answered without RetryInfo"));
        }
        if status.code() == Code::Unavailable && reason.is_empty() && status.source().is_none() {
            self.findings.count("Unavailable without a reason, perhaps from the server");
        }
        if reason == "INTERNAL" {
            self.findings.violation(format!("a server has a defect: {}", status.message()));
        }
        if !matches!(
            status.code(),
            Code::InvalidArgument | Code::NotFound | Code::FailedPrecondition | Code::AlreadyExists
        ) {
            self.next_server();
        }
        let is_definite = matches!(
            reason.as_str(),
            "INVALID_FIELD" | "SESSION_NOT_FOUND" | "SESSION_CLOSED" | "REQUEST_ID_REUSED" | "OVERLOADED"
        );
        let delay = refusal.retry_delay.unwrap_or(RETRY_DELAY);
        Failure { code: format!("{:?}", status.code()), reason, is_definite, delay }
    }
}
