//! A server: a real `ops serve` on a random port, behind proxies whose addresses stay.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use super::logs;
use super::supervisor::{Process, Supervised};
use crate::findings::SharedFindings;
use crate::history::{Recorder, What};
use crate::proxy::Proxy;

/// The lease: short, so that leases begin and end within half a minute.
pub(super) const LEASE: &str = "4s";
/// The log line of a server that serves. Before it, a server may end because it can not reach its database.
const SERVING: &str = "readiness has changed";

/// One server.
pub(super) struct Server {
    pub(super) name: String,
    pub(super) program: PathBuf,
    pub(super) database_url: String,
    pub(super) folder: PathBuf,
    /// The proxies of clients and workers to this server.
    pub(super) proxies: Vec<Arc<Proxy>>,
    /// The address at which it listens now.
    pub(super) address: watch::Sender<Option<SocketAddr>>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) findings: Arc<SharedFindings>,
}

impl Server {
    async fn reachable(&self, address: Option<SocketAddr>) {
        self.address.send_replace(address);
        for proxy in &self.proxies {
            if let Err(error) = proxy.order(|orders| orders.upstream = address).await {
                self.findings.violation(format!("the lab failed: {error}"));
            }
        }
    }

    fn record(&self, what: What) {
        if let Err(error) = self.recorder.record(what) {
            self.findings.violation(format!("the lab failed: its history can not be written: {error}"));
        }
    }
}

#[async_trait]
impl Supervised for Server {
    fn actor(&self, number: u32) -> String {
        format!("{}-{number}", self.name)
    }

    fn command(&self, actor: &str) -> io::Result<Command> {
        let mut command = Command::new(&self.program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--lease-timeout", LEASE, "--accept-timeout", "2s"]);
        command.args(["--database-connections", "10", "--database-deadline", "4s", "--shutdown-timeout", "8s"]);
        command.env("OPS_DATABASE_URL", &self.database_url);
        logs::redirect(&mut command, &logs::path(&self.folder, actor))?;
        Ok(command)
    }

    async fn began(&self, process: &Process) {
        self.record(What::ServerStarted { server: self.name.clone(), pid: process.pid() });
        let log = logs::path(&self.folder, &process.actor);
        match logs::line_with(&log, "listening on http://", &process.child).await {
            Ok(address) => self.reachable(address.parse().ok()).await,
            Err(error) => tracing::warn!(actor = process.actor, %error, "a server does not listen"),
        }
    }

    async fn ended(&self, process: &Process, status: ExitStatus, was_meant: bool) {
        self.reachable(None).await;
        let log = std::fs::read_to_string(logs::path(&self.folder, &process.actor)).unwrap_or_default();
        if !was_meant && log.contains(SERVING) {
            self.findings.violation(format!("the server {} ended by itself: {status}", process.actor));
        }
        let why = if was_meant { format!("the lab: {status}") } else { format!("by itself: {status}") };
        self.record(What::ServerEnded { server: self.name.clone(), pid: process.pid(), why });
    }
}
