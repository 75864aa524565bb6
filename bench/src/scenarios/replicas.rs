//! Whether two servers on one database are worse than one.

use anyhow::Result;

use super::drain::drained;
use crate::figure::Figure;
use crate::house::Bench;

pub const ABOUT: &str =
    "A drain by two servers on one database, half of the workers at each, against one server just before.";

const RUNS: usize = 200_000;

pub async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let one = bench.house(1).await?;
    let (alone, _) = drained(&one, RUNS).await?;
    one.close().await?;
    let two = bench.house(2).await?;
    let (together, _) = drained(&two, RUNS).await?;
    let served: Vec<i64> = sqlx::query_scalar("SELECT count(*) FROM ops.runs GROUP BY server_id ORDER BY 1")
        .fetch_all(&mut two.database.connect().await?)
        .await?;
    two.close().await?;
    let least = if served.len() == 2 { served[0] } else { 0 };
    Ok(vec![
        Figure::new("two servers, of one", "%", 100.0 * together / alone).at_least(80.0),
        Figure::new("served by the one that served less", "%", 100.0 * least as f64 / RUNS as f64).at_least(40.0),
    ])
}
