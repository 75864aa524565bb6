//! How soon a cancel reaches the worker.

use std::sync::Arc;

use anyhow::{Result, ensure};
use proto::v1::CancelRunRequest;

use crate::caller::{Caller, at_pace};
use crate::deployment::Bench;
use crate::figure::Figure;
use crate::fleet::{Execution, Fleet};

pub const ABOUT: &str = "From the due time of a cancel, 50 a second at one server, to its arrival at a worker of the other server, while both \
                         servers enqueue and execute 10,000 other runs a second.";

const CANCELS: usize = 500;
const PER_SECOND: f64 = 50.0;
/// Batches a second, and runs in each.
const LOAD_PER_SECOND: f64 = 100.0;
const LOAD_BATCH: usize = 100;

pub async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let deployment = bench.deploy(2).await?;
    let caller = Caller::new(&deployment.servers[0]).await?;
    caller.enqueue(CANCELS, CANCELS, 1).await?;
    let mut keeper = Fleet::start(&deployment.servers[1..], 1, CANCELS as i64, Execution::KeepUntilCancelled).await?;
    keeper.started(CANCELS as u64).await?;
    let kept: Vec<String> =
        sqlx::query_scalar("SELECT id::text FROM ops.runs WHERE status IN ('claimed', 'running') ORDER BY id")
            .fetch_all(&mut deployment.database.connect().await?)
            .await?;
    ensure!(kept.len() == CANCELS, "{} of {CANCELS} runs are held", kept.len());
    let kept = Arc::new(kept);

    let mut workers = Fleet::start(&deployment.servers, 2, 500, Execution::EndAtOnce).await?;
    let seconds = CANCELS as f64 / PER_SECOND;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of calls")]
    let batches = (seconds * LOAD_PER_SECOND) as usize;
    let load = at_pace(LOAD_PER_SECOND, batches, |_| {
        let caller = caller.clone();
        async move { caller.enqueue(LOAD_BATCH, LOAD_BATCH, 1).await }
    });
    let next = std::sync::atomic::AtomicUsize::new(0);
    let cancels = at_pace(PER_SECOND, CANCELS, |due| {
        let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (mut calls, kept) = (caller.runs(), Arc::clone(&kept));
        async move {
            let request = CancelRunRequest { run_id: kept[index].clone(), reason: due.to_string(), grace: None };
            calls.cancel_run(request).await?;
            Ok(())
        }
    });
    let (load, cancels) = tokio::join!(load, cancels);
    load?;
    cancels?;
    keeper.ended(CANCELS as u64).await?;
    workers.ended((batches * LOAD_BATCH) as u64).await?;
    ensure!(keeper.seen.cancel_times.len() == CANCELS as u64, "some cancels did not reach the worker");
    let confirmed = sqlx::query_scalar("SELECT count(*) FROM ops.runs WHERE status = 'cancelled' AND cancel_confirmed");
    let confirmed: i64 = confirmed.fetch_one(&mut deployment.database.connect().await?).await?;
    ensure!(confirmed == CANCELS as i64, "{confirmed} of {CANCELS} cancels were confirmed");
    deployment.close().await?;
    let [p50, p99] = keeper.seen.cancel_times.figures("cancel to worker");
    Ok(vec![p50, p99.at_most(50.0)])
}
