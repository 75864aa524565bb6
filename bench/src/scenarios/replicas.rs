//! Whether two servers on one database are worse than one.

use anyhow::Result;

use super::drain::drained;
use crate::figure::Figure;
use crate::house::{Bench, House};

pub const ABOUT: &str = "Drains of 200,000 runs by two servers on one database, half of the workers at each, each next to one by a single \
                         server, by turns: the time of three pairs together.";

const RUNS: usize = 200_000;
const PAIRS: usize = 3;

pub async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let (mut alone, mut together, mut least) = (0.0, 0.0, 0);
    for _ in 0..PAIRS {
        let one = bench.house(1).await?;
        alone += seconds(&one).await?;
        one.close().await?;
        let two = bench.house(2).await?;
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
async fn seconds(house: &House<'_>) -> Result<f64> {
    let (rate, _) = drained(house, RUNS).await?;
    Ok(RUNS as f64 / rate)
}
