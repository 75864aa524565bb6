//! Faults of PostgreSQL's processes.

use anyhow::Result;
use devpg::DevpgError;
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep_until};

use crate::lab::database::Database;
use crate::lab::deployment::Deployment;

/// Kills all processes of PostgreSQL, and starts it again at the end.
pub(super) async fn kill(deployment: &Deployment, end: Instant) -> Result<()> {
    match deployment.database.cluster.kill_hard().await {
        // A full disk has ended PostgreSQL already.
        Err(DevpgError::NotRunning { .. }) => {}
        killed => killed?,
    }
    away(deployment, end).await
}

/// Shuts PostgreSQL down, and starts it again at the end.
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

/// Stops all processes of PostgreSQL (SIGSTOP), and resumes them at the end.
pub(super) async fn hang(deployment: &Deployment, end: Instant) -> Result<()> {
    deployment.database.cluster.pause().await?;
    deployment.disturbances.away();
    sleep_until(end).await;
    deployment.disturbances.back();
    Ok(deployment.database.cluster.resume().await?)
}

/// Sets the clock of PostgreSQL back. It is not undone: a clock that has gone back stays there.
pub(super) async fn set_clock_back(deployment: &Deployment, mut rng: StdRng, end: Instant) -> Result<()> {
    deployment.database.set_clock_back(rng.random_range(2..7_200))?;
    sleep_until(end).await;
    Ok(())
}

/// Makes commits wait for a synchronous standby that does not exist. At the end they wait for none.
pub(super) async fn lose_standby(database: &Database, end: Instant) -> Result<()> {
    database.configure("synchronous_standby_names", "'gone'").await?;
    sleep_until(end).await;
    database.configure("synchronous_standby_names", "DEFAULT").await
}
