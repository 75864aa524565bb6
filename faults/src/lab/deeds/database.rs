//! What is done to PostgreSQL's processes.

use anyhow::Result;
use devpg::DevpgError;
use tokio::time::{Instant, sleep_until};

use super::super::house::House;

/// All its processes are killed; it starts again when this is over.
pub(super) async fn kill(house: &House, end: Instant) -> Result<()> {
    match house.database.cluster.kill_hard().await {
        // It has ended by itself, over a disk that was full.
        Err(DevpgError::NotRunning { .. }) => {}
        killed => killed?,
    }
    away(house, end).await
}

/// It shuts down in order; it starts again when this is over.
pub(super) async fn restart(house: &House, end: Instant) -> Result<()> {
    house.database.cluster.stop().await?;
    away(house, end).await
}

async fn away(house: &House, end: Instant) -> Result<()> {
    house.database.leave().await?;
    house.wellness.away();
    sleep_until(end).await;
    house.wellness.back();
    house.database.cluster.restart().await?;
    house.database.come_back().await
}

/// All its processes stop in their tracks, and go on when this is over.
pub(super) async fn hang(house: &House, end: Instant) -> Result<()> {
    house.database.cluster.pause().await?;
    house.wellness.away();
    sleep_until(end).await;
    house.wellness.back();
    Ok(house.database.cluster.resume().await?)
}
