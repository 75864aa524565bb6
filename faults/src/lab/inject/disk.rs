//! Fills the file system of PostgreSQL.

use std::time::Duration;

use anyhow::Result;
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep, sleep_until};

use super::sql;
use crate::lab::deployment::Deployment;
use crate::lab::fault::SqlFault;

/// The interval at which the lab checks whether PostgreSQL is back.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// Fills the disk, and frees it at the end. PostgreSQL may have ended by then, and is started again.
pub(super) async fn fill(deployment: &Deployment, mut rng: StdRng, end: Instant) -> Result<()> {
    let database = &deployment.database;
    let Some(disk) = &database.disk else {
        // Without a file system to fill, statements fail as they do on a full disk.
        deployment.findings.count("full disks by failing statements");
        sql::inject(&database.proxies[0], SqlFault::Statement, rng, end).await;
        return Ok(());
    };
    disk.fill()?;
    deployment.findings.count("full disks");
    if rng.random_bool(0.5)
        && let Ok(mut connection) = database.connect().await
    {
        // The next segment of the log finds no space, and PostgreSQL panics. An error means that it has ended already.
        let _refused = sqlx::raw_sql("SELECT pg_switch_wal()").execute(&mut connection).await;
    }
    sleep_until(end).await;
    disk.empty()?;
    while database.connect().await.is_err() {
        if database.cluster.postmaster_pid().is_none() {
            deployment.findings.count("PostgreSQL ended over a full disk");
            database.cluster.restart().await?;
        }
        sleep(CHECK_INTERVAL).await;
    }
    Ok(())
}
