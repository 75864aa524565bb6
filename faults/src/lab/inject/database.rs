//! What is done to PostgreSQL's processes.

use anyhow::Result;
use devpg::DevpgError;
use tokio::time::{Instant, sleep_until};

use crate::lab::deployment::Deployment;

/// All its processes are killed; it starts again when this is over.
pub(super) async fn kill(deployment: &Deployment, end: Instant) -> Result<()> {
    match deployment.database.cluster.kill_hard().await {
        // It has ended by itself, over a disk that was full.
        Err(DevpgError::NotRunning { .. }) => {}
        killed => killed?,
    }
    away(deployment, end).await
}

/// It shuts down in order; it starts again when this is over.
pub(super) async fn restart(deployment: &Deployment, end: Instant) -> Result<()> {
    deployment.database.cluster.stop().await?;
    away(deployment, end).await
}

async fn away(deployment: &Deployment, end: Instant) -> Result<()> {
    deployment.database.leave().await?;
    deployment.disturbances.away();
    sleep_until(end).await;
    deployment.disturbances.back();
    deployment.database.cluster.restart().await?;
    deployment.database.come_back().await
}

/// All its processes stop in their tracks, and go on when this is over.
pub(super) async fn hang(deployment: &Deployment, end: Instant) -> Result<()> {
    deployment.database.cluster.pause().await?;
    deployment.disturbances.away();
    sleep_until(end).await;
    deployment.disturbances.back();
    Ok(deployment.database.cluster.resume().await?)
}
