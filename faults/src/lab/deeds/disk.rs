//! What a full file system does to PostgreSQL.

use std::time::Duration;

use anyhow::Result;
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep, sleep_until};

use super::super::deed::Snare;
use super::super::house::House;
use super::snare;

/// Between two looks whether it is back.
const LOOK: Duration = Duration::from_millis(100);

/// Fills the disk, and empties it again; PostgreSQL may have ended over that, and is then started again.
pub(super) async fn fill(house: &House, mut rng: StdRng, end: Instant) -> Result<()> {
    let database = &house.database;
    let Some(disk) = &database.disk else {
        // Nothing else that statements fail with says so much of the disk.
        house.notebook.count("full disks that were only said");
        snare::lay(&database.lines[0], Snare::Statement, rng, end).await;
        return Ok(());
    };
    disk.fill()?;
    house.notebook.count("full disks");
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
            house.notebook.count("PostgreSQL ended over a full disk");
            database.cluster.restart().await?;
        }
        sleep(LOOK).await;
    }
    Ok(())
}
