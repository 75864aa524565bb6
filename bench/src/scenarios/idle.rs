//! What a server does when there is nothing to do.

use std::time::Duration;

use anyhow::Result;

use crate::figure::Figure;
use crate::fleet::{Doing, Fleet};
use crate::house::Bench;

pub const ABOUT: &str = "Statements a second, BEGIN and COMMIT included, as the database logs them, and processor time: one server, 10 \
                         workers, nothing to do.";

/// Until what a start causes is over.
const SETTLE: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_secs(10);

pub async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let house = bench.house(1).await?;
    let _fleet = Fleet::start(&house.servers, 10, 10, Doing::End).await?;
    let mut c = house.database.connect().await?;
    tokio::time::sleep(SETTLE).await;
    sqlx::raw_sql("ALTER SYSTEM SET log_statement = 'all'").execute(&mut c).await?;
    sqlx::raw_sql("SELECT pg_reload_conf()").execute(&mut c).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (before, processor) = (logged(bench)?, house.servers[0].processor()?);
    tokio::time::sleep(LOOK).await;
    let (after, processor) = (logged(bench)?, house.servers[0].processor()? - processor);
    sqlx::raw_sql("ALTER SYSTEM RESET log_statement").execute(&mut c).await?;
    sqlx::raw_sql("SELECT pg_reload_conf()").execute(&mut c).await?;
    house.close().await?;
    let seconds = LOOK.as_secs_f64();
    Ok(vec![
        Figure::new("statements", "1/s", (after - before) as f64 / seconds).at_most(5.0),
        Figure::new("processor of the server", "%", 100.0 * processor / seconds),
    ])
}

/// Statements in the database's log so far.
fn logged(bench: &Bench) -> Result<usize> {
    let is_statement = |line: &&str| line.contains("LOG:  execute ") || line.contains("LOG:  statement: ");
    Ok(bench.database_log()?.lines().filter(is_statement).count())
}
