//! What a full file system does to PostgreSQL.

use std::time::Duration;

use anyhow::Result;
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep, sleep_until};

use super::sql;
use crate::lab::deployment::Deployment;
use crate::lab::fault::SqlFault;

/// Between two looks whether it is back.
const LOOK: Duration = Duration::from_millis(100);

/// Fills the disk, and empties it again; PostgreSQL may have ended over that, and is then started again.
pub(super) async fn fill(deployment: &Deployment, mut rng: StdRng, end: Instant) -> Result<()> {
    let database = &deployment.database;
    let Some(disk) = &database.disk else {
        // Nothing else that statements fail with says so much of the disk.
        deployment.findings.count("full disks that were only said");
        sql::inject(&database.proxies[0], SqlFault::Statement, rng, end).await;
        return Ok(());
    };
    disk.fill()?;
    deployment.findings.count("full disks");
    if rng.random_bool(0.5)
        && let Ok(mut connection) = database.connect().await
    {
        // The next segment of the log finds no room, and PostgreSQL panics. Refused, it has gone before.
        let _refused = sqlx::raw_sql("SELECT pg_switch_wal()").execute(&mut connection).await;
    }
    sleep_until(end).await;
    disk.empty()?;
    while database.connect().await.is_err() {
        if database.cluster.postmaster_pid().is_none() {
            deployment.findings.count("PostgreSQL ended over a full disk");
            database.cluster.restart().await?;
        }
        sleep(LOOK).await;
    }
    Ok(())
}
