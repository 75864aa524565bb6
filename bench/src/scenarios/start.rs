//! How soon a server serves.

use anyhow::Result;

use crate::figure::Figure;
use crate::house::Bench;

pub const ABOUT: &str = "`ops serve` on a migrated database, from the start of the process until it is ready, and its resident memory then.";

pub async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let mut house = bench.house(1).await?;
    house.add_server().await?;
    let server = &house.servers[1];
    let (took, memory) = (server.started_in.as_secs_f64() * 1_000.0, server.memory()? / 1e6);
    house.close().await?;
    Ok(vec![
        Figure::new("start to ready", "ms", took).at_most(300.0),
        Figure::new("resident memory", "MB", memory).at_most(40.0),
    ])
}
