//! What is done to PostgreSQL's processes.

use anyhow::Result;
use tokio::time::{Instant, sleep_until};

use super::super::database::Database;

/// All its processes are killed; it starts again when this is over.
pub(super) async fn kill(database: &Database, end: Instant) -> Result<()> {
    database.cluster.kill_hard().await?;
    away(database, end).await
}

/// It shuts down in order; it starts again when this is over.
pub(super) async fn restart(database: &Database, end: Instant) -> Result<()> {
    database.cluster.stop().await?;
    away(database, end).await
}

async fn away(database: &Database, end: Instant) -> Result<()> {
    database.leave().await?;
    sleep_until(end).await;
    database.cluster.restart().await?;
    database.come_back().await
}

/// All its processes stop in their tracks, and go on when this is over.
pub(super) async fn hang(database: &Database, end: Instant) -> Result<()> {
    database.cluster.pause().await?;
    sleep_until(end).await;
    Ok(database.cluster.resume().await?)
}
