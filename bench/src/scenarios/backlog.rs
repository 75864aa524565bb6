//! What a claim costs with millions of queued runs.

use anyhow::Result;

use super::fill::{Filled, fill};
use crate::caller::{Caller, KIND};
use crate::deployment::Bench;
use crate::figure::Figure;
use crate::fleet::{Execution, Fleet};
use crate::times::{Times, now};

pub const ABOUT: &str = "A claim of one run by a worker with one slot, from its report to the start of its next run: with 1,000 queued, \
                         with 5 million queued, and with 1 million of other kinds queued in front, at a higher priority.";

const CLAIMS: u64 = 500;

pub async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let few = claims(bench, &[Filled { kind: KIND, runs: 1_000, priority: 0 }]).await?;
    let many = claims(bench, &[Filled { kind: KIND, runs: 5_000_000, priority: 0 }]).await?;
    let others = [
        Filled { kind: KIND, runs: 1_000, priority: 0 },
        Filled { kind: "other-a", runs: 500_000, priority: 9 },
        Filled { kind: "other-b", runs: 500_000, priority: 9 },
    ];
    let behind = claims(bench, &others).await?;
    Ok(vec![
        Figure::new("1,000 queued, p50", "ms", few),
        Figure::new("5 million queued, of 1,000", "x", many / few).at_most(2.0),
        Figure::new("1 million of other kinds in front, of 1,000", "x", behind / few).at_most(2.0),
    ])
}

/// The median time of a claim, in milliseconds.
async fn claims(bench: &Bench, queued: &[Filled]) -> Result<f64> {
    let deployment = bench.deploy(1).await?;
    let caller = Caller::new(&deployment.servers[0]).await?;
    for filled in queued {
        fill(&deployment, &caller, filled).await?;
    }
    deployment.database.checkpoint().await?;
    let mut fleet = Fleet::start(&deployment.servers, 1, 1, Execution::EndAtOnce).await?;
    fleet.ended(50).await?;
    let times = Times::default();
    for ended in 51..=50 + CLAIMS {
        let begin = now();
        fleet.ended(ended).await?;
        times.add_since(begin);
    }
    drop(fleet);
    deployment.close().await?;
    Ok(times.percentile(50.0))
}
