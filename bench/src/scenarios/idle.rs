//! What an idle server costs.

use std::time::Duration;

use anyhow::Result;

use crate::deployment::Bench;
use crate::figure::Figure;
use crate::fleet::{Execution, Fleet};

pub const ABOUT: &str = "Statements a second in the database's log, BEGIN and COMMIT included, and processor time: one server, 10 workers, \
                         no runs.";

/// After this time the work of a start is done.
const SETTLE: Duration = Duration::from_secs(3);
const MEASURED: Duration = Duration::from_secs(10);

pub async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let deployment = bench.deploy(1).await?;
    let _fleet = Fleet::start(&deployment.servers, 10, 10, Execution::EndAtOnce).await?;
    let mut c = deployment.database.connect().await?;
    tokio::time::sleep(SETTLE).await;
    sqlx::raw_sql("ALTER SYSTEM SET log_statement = 'all'").execute(&mut c).await?;
    sqlx::raw_sql("SELECT pg_reload_conf()").execute(&mut c).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (before, processor) = (logged(bench)?, deployment.servers[0].processor()?);
    tokio::time::sleep(MEASURED).await;
    let (after, processor) = (logged(bench)?, deployment.servers[0].processor()? - processor);
    sqlx::raw_sql("ALTER SYSTEM RESET log_statement").execute(&mut c).await?;
    sqlx::raw_sql("SELECT pg_reload_conf()").execute(&mut c).await?;
    deployment.close().await?;
    let seconds = MEASURED.as_secs_f64();
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
