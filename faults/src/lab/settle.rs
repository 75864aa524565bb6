//! The end of a run: nothing is broken any more, and everything comes to its end.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use sqlx::AssertSqlSafe;
use tokio::time::{Instant, sleep};

use super::house::House;
use crate::history::{DUMP, What};

/// How long the runs of half a minute may take to end once nothing is broken.
const SETTLE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// How long a process may take to end in order.
const END: Duration = Duration::from_secs(15);

const OPEN: &str = "SELECT count(*) FROM ops.runs WHERE status NOT IN ('succeeded', 'failed', 'cancelled')";

/// Waits until every run has ended, and says whether that came in time.
pub(super) async fn settle(house: &House) -> Result<bool> {
    let begin = Instant::now();
    let mut connection = house.database.connect().await?;
    loop {
        let open: i64 = sqlx::query_scalar(OPEN).fetch_one(&mut connection).await?;
        if open == 0 {
            house.notebook.most("settled after ms", u64::try_from(begin.elapsed().as_millis())?);
            return Ok(true);
        }
        if begin.elapsed() > SETTLE {
            house.notebook.violation(format!("{open} runs have not ended {SETTLE:?} after the last fault"));
            return Ok(false);
        }
        sleep(LOOK).await;
    }
}

/// Writes down the database as it is.
pub(super) async fn dump(house: &House) -> Result<()> {
    let mut connection = house.database.connect().await?;
    let text: String = sqlx::query_scalar(AssertSqlSafe(DUMP)).fetch_one(&mut connection).await?;
    let path = house.folder.join("final.json");
    fs::write(&path, text).with_context(|| format!("can not write {}", path.display()))
}

/// Ends all processes in order, which they do when asked.
pub(super) async fn close(house: &House) -> Result<()> {
    for worker in &house.workers {
        if !worker.down(Signal::SIGTERM, END).await {
            house.notebook.violation(format!("a worker did not end within {END:?} of being asked"));
        }
    }
    for server in &house.servers {
        if !server.keeper.down(Signal::SIGTERM, END).await {
            house.notebook.violation(format!("{} did not end within {END:?} of being asked", server.name));
        }
    }
    let log = fs::read(house.database.cluster.log_path())?;
    fs::write(house.folder.join("logs/postgres.log"), log)?;
    house.database.cluster.stop().await?;
    Ok(())
}

/// Everything is as it was before the first fault.
pub(super) async fn restore(house: &House) -> Result<()> {
    for server in &house.servers {
        server.keeper.up().await;
    }
    for worker in &house.workers {
        worker.up().await;
    }
    house.recorder.record(What::Quiet)?;
    Ok(())
}
