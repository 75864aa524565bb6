//! A worker: this program again, as `faults worker`.

use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::Arc;

use async_trait::async_trait;

use super::keeper::{Kept, Life};
use super::logs;
use crate::findings::Notebook;
use crate::proxy::Proxy;

const SLOTS: &str = "16";

/// One worker.
pub(super) struct Worker {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    /// A line to each server.
    pub(super) lines: Vec<Arc<Proxy>>,
    pub(super) notebook: Arc<Notebook>,
}

#[async_trait]
impl Kept for Worker {
    fn actor(&self, number: u32) -> String {
        format!("{}-{number}", self.name)
    }

    fn command(&self, actor: &str) -> io::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["worker", "--slots", SLOTS, "--actor", actor, "--folder"]).arg(&self.folder);
        for line in &self.lines {
            command.args(["--server", &format!("http://{}", line.address())]);
        }
        logs::redirect(&mut command, &logs::path(&self.folder, actor))?;
        Ok(command)
    }

    async fn began(&self, _life: &Life) {}

    async fn ended(&self, life: &Life, status: ExitStatus, was_meant: bool) {
        if !was_meant {
            self.notebook.violation(format!("the worker {} ended by itself: {status}", life.actor));
        }
    }
}
