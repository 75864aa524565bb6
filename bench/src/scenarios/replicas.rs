//! Two servers on one database, compared with one.

use anyhow::Result;

use super::drain::drained;
use crate::deployment::{Bench, Deployment};
use crate::figure::Figure;

pub const ABOUT: &str = "Drains of 200,000 runs by two servers on one database, half of the workers at each, each next to a drain by one \
                         server, in turns: the time of three pairs together.";

const RUNS: usize = 200_000;
const PAIRS: usize = 3;

pub async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let (mut alone, mut together, mut least) = (0.0, 0.0, 0);
    for _ in 0..PAIRS {
        let one = bench.deploy(1).await?;
        alone += seconds(&one).await?;
        one.close().await?;
        let two = bench.deploy(2).await?;
        together += seconds(&two).await?;
        let served: Vec<i64> = sqlx::query_scalar("SELECT count(*) FROM ops.runs GROUP BY server_id ORDER BY 1")
            .fetch_all(&mut two.database.connect().await?)
            .await?;
        two.close().await?;
        least += if served.len() == 2 { served[0] } else { 0 };
    }
    let least = 100.0 * least as f64 / (PAIRS * RUNS) as f64;
    Ok(vec![
        Figure::new("two servers, of one", "%", 100.0 * alone / together).at_least(80.0),
        Figure::new("served by the one that served less", "%", least).at_least(40.0),
    ])
}

/// How long a drain takes.
async fn seconds(deployment: &Deployment<'_>) -> Result<f64> {
    let (rate, _) = drained(deployment, RUNS).await?;
    Ok(RUNS as f64 / rate)
}
