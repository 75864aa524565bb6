//! Checks all the time whether the servers report their readiness correctly, and how much memory they use.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::deployment::Deployment;

/// The interval of checks.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// A server that answers later counts as one that does not answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// A server must be ready within 5 s of its database. The rest allows for a busy machine.
const READY_TIMEOUT: Duration = Duration::from_secs(45);
/// A server asks its database each second and waits 3 s for an answer, and is not ready after the second failure.
const UNREADY_TIMEOUT: Duration = Duration::from_secs(7);
/// Far more than this load needs, so only a leak exceeds it.
const MOST_MEMORY: u64 = 512 << 20;

/// Starts the checks.
pub(super) fn start(deployment: &Arc<Deployment>, tasks: &mut JoinSet<()>) {
    for index in 0..deployment.servers.len() {
        tasks.spawn(memory(Arc::clone(deployment), index));
        tasks.spawn(readiness(Arc::clone(deployment), index));
    }
}

/// Waits until all servers are ready.
pub(super) async fn all_ready(deployment: &Deployment, limit: Duration) -> Result<()> {
    let wait = async {
        for server in &deployment.servers {
            while !is_ready(*server.address.borrow()).await {
                sleep(CHECK_INTERVAL).await;
            }
        }
    };
    ensure!(timeout(limit, wait).await.is_ok(), "the servers are not ready after {limit:?}");
    Ok(())
}

/// Checks that a server is ready soon after the last fault, and not ready while the database is away.
async fn readiness(deployment: Arc<Deployment>, index: usize) {
    let server = &deployment.servers[index];
    let mut late = None;
    loop {
        sleep(CHECK_INTERVAL).await;
        let (undisturbed, away, address) = (
            deployment.disturbances.undisturbed_since(index),
            deployment.disturbances.away_since(),
            *server.address.borrow(),
        );
        let is_ready = is_ready(address).await;
        // Only a condition that held before and after the request counts.
        let stays_undisturbed = undisturbed.filter(|_| deployment.disturbances.undisturbed_since(index) == undisturbed);
        let stays_away = away.filter(|_| deployment.disturbances.away_since() == away);
        if is_ready && stays_away.is_some_and(|since| since.elapsed() > UNREADY_TIMEOUT) {
            deployment.findings.violation(format!(
                "{} says that it is ready {UNREADY_TIMEOUT:?} after the database went down",
                server.name
            ));
        }
        match stays_undisturbed {
            Some(since) if is_ready => {
                if late != Some(since) {
                    let after = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
                    deployment.findings.most("ready after ms", after);
                }
                late = Some(since);
            }
            Some(since) if late != Some(since) && since.elapsed() > READY_TIMEOUT => {
                late = Some(since);
                deployment
                    .findings
                    .violation(format!("{} is not ready {READY_TIMEOUT:?} after the last fault", server.name));
            }
            _ => {}
        }
    }
}

async fn memory(deployment: Arc<Deployment>, index: usize) {
    let server = &deployment.servers[index];
    loop {
        if let Some(bytes) = server.supervisor.process().and_then(|process| resident(process.pid())) {
            deployment.findings.most("server memory MiB", bytes >> 20);
            if bytes > MOST_MEMORY {
                deployment.findings.violation(format!("{} takes more than {} MiB", server.name, MOST_MEMORY >> 20));
            }
        }
        sleep(CHECK_INTERVAL).await;
    }
}

/// The resident memory of a process, in bytes.
fn resident(pid: u32) -> Option<u64> {
    const PAGE: u64 = 4_096;
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    text.split(' ').nth(1)?.parse::<u64>().ok().map(|pages| pages * PAGE)
}

/// The answer of `/readyz`. No answer is not ready.
async fn is_ready(address: Option<SocketAddr>) -> bool {
    let Some(address) = address else { return false };
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    timeout(TIMEOUT, ask).await.is_ok_and(|answer| answer.is_ok_and(|it| it.starts_with(b"HTTP/1.1 200 ")))
}
