//! Looks on: whether servers say truly that they are ready, and how much memory they take.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::deployment::Deployment;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// A server that answers later than this does not answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// A server is ready within 5 s of its database; the rest is for a machine that is busy with others.
const READY: Duration = Duration::from_secs(45);
/// A server asks its database each second and waits 3 s for an answer; and so again.
const NOT_READY: Duration = Duration::from_secs(7);
/// Far more than a server takes for what is asked of it here; a leak that matters is beyond it.
const MOST_MEMORY: u64 = 512 << 20;

/// Begins to look.
pub(super) fn look(deployment: &Arc<Deployment>, tasks: &mut JoinSet<()>) {
    for index in 0..deployment.servers.len() {
        tasks.spawn(memory(Arc::clone(deployment), index));
        tasks.spawn(readiness(Arc::clone(deployment), index));
    }
}

/// Waits until all servers say that they are ready.
pub(super) async fn all_ready(deployment: &Deployment, patience: Duration) -> Result<()> {
    let wait = async {
        for server in &deployment.servers {
            while !is_ready(*server.address.borrow()).await {
                sleep(LOOK).await;
            }
        }
    };
    ensure!(timeout(patience, wait).await.is_ok(), "the servers are not ready after {patience:?}");
    Ok(())
}

/// Holds a server to what it says of itself: ready soon after nothing is wrong, and not ready while the database is away.
async fn readiness(deployment: Arc<Deployment>, index: usize) {
    let server = &deployment.servers[index];
    let mut late = None;
    loop {
        sleep(LOOK).await;
        let (well, away, address) =
            (deployment.disturbances.well_since(index), deployment.disturbances.away_since(), *server.address.borrow());
        let is_ready = is_ready(address).await;
        // Only what was so before and after it was asked is so.
        let stays_well = well.filter(|_| deployment.disturbances.well_since(index) == well);
        let stays_away = away.filter(|_| deployment.disturbances.away_since() == away);
        if is_ready && stays_away.is_some_and(|since| since.elapsed() > NOT_READY) {
            deployment
                .findings
                .violation(format!("{} says that it is ready {NOT_READY:?} after the database went", server.name));
        }
        match stays_well {
            Some(since) if is_ready => {
                if late != Some(since) {
                    let after = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
                    deployment.findings.most("ready after ms", after);
                }
                late = Some(since);
            }
            Some(since) if late != Some(since) && since.elapsed() > READY => {
                late = Some(since);
                deployment
                    .findings
                    .violation(format!("{} is not ready {READY:?} after nothing was wrong", server.name));
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
        sleep(LOOK).await;
    }
}

/// How much memory a process has, in bytes.
fn resident(pid: u32) -> Option<u64> {
    const PAGE: u64 = 4_096;
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    text.split(' ').nth(1)?.parse::<u64>().ok().map(|pages| pages * PAGE)
}

/// What `/readyz` says. Who does not answer is not ready.
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
    timeout(PATIENCE, ask).await.is_ok_and(|answer| answer.is_ok_and(|it| it.starts_with(b"HTTP/1.1 200 ")))
}
