//! A worker: this program again, as `faults worker`.

use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::Arc;

use async_trait::async_trait;

use super::logs;
use super::supervisor::{Process, Supervised};
use crate::findings::SharedFindings;
use crate::proxy::Proxy;

const SLOTS: &str = "16";

/// One worker.
pub(super) struct Worker {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    /// A proxy to each server.
    pub(super) proxies: Vec<Arc<Proxy>>,
    pub(super) findings: Arc<SharedFindings>,
}

#[async_trait]
impl Supervised for Worker {
    fn actor(&self, number: u32) -> String {
        format!("{}-{number}", self.name)
    }

    fn command(&self, actor: &str) -> io::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["worker", "--slots", SLOTS, "--actor", actor, "--folder"]).arg(&self.folder);
        for proxy in &self.proxies {
            command.args(["--server", &format!("http://{}", proxy.address())]);
        }
        logs::redirect(&mut command, &logs::path(&self.folder, actor))?;
        Ok(command)
    }

    async fn began(&self, _life: &Process) {}

    async fn ended(&self, process: &Process, status: ExitStatus, was_meant: bool) {
        if !was_meant {
            self.findings.violation(format!("the worker {} ended by itself: {status}", process.actor));
        }
    }
}
