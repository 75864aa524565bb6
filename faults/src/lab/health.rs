//! Looks on: whether servers say truly that they are ready, and how much memory they take.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::house::House;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// A server that answers later than this does not answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Far more than a server takes for what is asked of it here; a leak that matters is beyond it.
const MOST_MEMORY: u64 = 512 << 20;

/// Begins to look.
pub(super) fn look(house: &Arc<House>, tasks: &mut JoinSet<()>) {
    for index in 0..house.servers.len() {
        tasks.spawn(memory(Arc::clone(house), index));
    }
}

/// Waits until all servers say that they are ready.
pub(super) async fn all_ready(house: &House, patience: Duration) -> Result<()> {
    let wait = async {
        for server in &house.servers {
            while !is_ready(*server.address.borrow()).await {
                sleep(LOOK).await;
            }
        }
    };
    ensure!(timeout(patience, wait).await.is_ok(), "the servers are not ready after {patience:?}");
    Ok(())
}

async fn memory(house: Arc<House>, index: usize) {
    let server = &house.servers[index];
    loop {
        if let Some(bytes) = server.keeper.life().and_then(|life| resident(life.pid())) {
            house.notebook.most("server memory MiB", bytes >> 20);
            if bytes > MOST_MEMORY {
                house.notebook.violation(format!("{} takes more than {} MiB", server.name, MOST_MEMORY >> 20));
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
