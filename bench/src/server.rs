//! A real `ops serve`, and the memory and processor time that it uses.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use client::{Client, Settings};
use devpg::spawn::{Child, spawn};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{SysconfVar, sysconf};

/// How long a start and a shutdown may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The interval at which the log is read.
const LOG_INTERVAL: Duration = Duration::from_millis(5);

/// A server process. Dropping this kills it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    pub url: String,
    /// From the start of the process to its readiness.
    pub started_in: Duration,
}

impl Server {
    /// Starts a server with default settings, and waits until it is ready.
    pub async fn start(program: &Path, database_url: &str, log: PathBuf) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0"]).env("OPS_DATABASE_URL", database_url);
        command.stdout(Stdio::null()).stderr(std::fs::File::create(&log)?);
        let begin = Instant::now();
        let child = spawn(command, Some(Signal::SIGKILL)).await?;
        let mut server = Self { child, url: String::new(), started_in: Duration::ZERO };
        let is_ready = |text: &str| text.contains("readiness has changed");
        while server.url.is_empty() {
            let text = std::fs::read_to_string(&log)?;
            if is_ready(&text)
                && let Some(address) = address(&text)
            {
                server.url = address;
            } else {
                ensure!(server.child.exit.borrow().is_none(), "the server has ended:\n{text}");
                ensure!(begin.elapsed() < TIMEOUT, "the server is not ready:\n{text}");
                tokio::time::sleep(LOG_INTERVAL).await;
            }
        }
        server.started_in = begin.elapsed();
        Ok(server)
    }

    /// A new connection, without pings, which would be part of the load.
    pub async fn connect(&self) -> Result<Client> {
        let settings = Settings { pings: None, user_agent: "ops-bench", ..Settings::default() };
        Ok(Client::connect(&self.url, &settings).await?)
    }

    /// Resident memory, in bytes.
    pub fn memory(&self) -> Result<f64> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("the server has ended")?;
        let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1_024.0)
    }

    /// Processor time so far, in seconds.
    pub fn processor(&self) -> Result<f64> {
        let stat = self.proc("stat")?;
        // The name of the program, in parentheses, may contain blanks.
        let (_, fields) = stat.rsplit_once(") ").context("the server has ended")?;
        // The twelfth and thirteenth field after it are the ticks in the program and in the kernel.
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks = fields.get(11..13).context("expected ticks in /proc/PID/stat")?;
        let ticks = ticks[0].parse::<u64>()? + ticks[1].parse::<u64>()?;
        let per_second = sysconf(SysconfVar::CLK_TCK)?.unwrap_or(100);
        Ok(ticks as f64 / per_second as f64)
    }

    fn proc(&self, file: &str) -> Result<String> {
        Ok(std::fs::read_to_string(format!("/proc/{}/{file}", self.child.pid))?)
    }

    /// Shuts it down.
    pub async fn stop(mut self) -> Result<()> {
        kill(self.child.pid, Signal::SIGTERM)?;
        let ended = tokio::time::timeout(TIMEOUT, self.child.exit.wait_for(Option::is_some)).await;
        match *ended.context("the server does not end")?? {
            Some(status) if status.success() => Ok(()),
            status => bail!("the server ended with {status:?}"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.exit.borrow().is_none() {
            // The process may have ended already.
            let _ = kill(self.child.pid, Signal::SIGKILL);
        }
    }
}

/// The address on which a server listens, from its log.
fn address(log: &str) -> Option<String> {
    let (_, rest) = log.split_once("listening on ")?;
    let end = rest.find(|c: char| c == '"' || c.is_whitespace())?;
    Some(rest[..end].to_owned())
}
