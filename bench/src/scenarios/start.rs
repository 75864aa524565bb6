//! How long a server takes to start.

use anyhow::Result;

use crate::deployment::Bench;
use crate::figure::Figure;

pub const ABOUT: &str =
    "`ops serve` on a migrated database: from the start of the process to its readiness, and its resident memory then.";

pub async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let mut deployment = bench.deploy(1).await?;
    deployment.add_server().await?;
    let server = &deployment.servers[1];
    let (took, memory) = (server.started_in.as_secs_f64() * 1_000.0, server.memory()? / 1e6);
    deployment.close().await?;
    Ok(vec![
        Figure::new("start to ready", "ms", took).at_most(300.0),
        Figure::new("resident memory", "MB", memory).at_most(40.0),
    ])
}
