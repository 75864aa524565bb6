//! Carries out one step of the plan.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep_until};

use super::{database, disk, foreign, network, process, sql, streams};
use crate::history::What;
use crate::lab::deployment::Deployment;
use crate::lab::fault::{Action, Target};
use crate::lab::plan::{CLIENTS, Step};
use crate::lab::supervisor::Supervisor;
use crate::proxy::Proxy;

/// How long it may take to undo a fault.
const UNDO_TIMEOUT: Duration = Duration::from_secs(60);

/// Injects the fault of a step at its time, and undoes it.
///
/// # Errors
///
/// The lab itself fails, so later events can not be judged.
pub(in crate::lab) async fn step(deployment: Arc<Deployment>, step: Step, begin: Instant) -> Result<()> {
    sleep_until(begin + Duration::from_millis(step.after_ms)).await;
    // A fault of the database waits until the last one is over.
    let turn = match step.fault.target() {
        Target::Database => Some(deployment.database.turn.lock().await),
        _ => None,
    };
    let (fault, target) = (step.fault.class(), target(&deployment, &step));
    let detail = format!("{} for {} ms", step.fault, step.for_ms);
    tracing::info!(%target, %detail, "a fault begins");
    deployment.recorder.record(What::FaultBegan { fault, target: target.clone(), detail })?;
    deployment.disturbances.begin(&step);
    let streams = streams::look(&deployment, &step);
    let lasts = Duration::from_millis(step.for_ms);
    let injected = Box::pin(inject(&deployment, &step, Instant::now() + lasts));
    let done = tokio::time::timeout(lasts + UNDO_TIMEOUT, injected).await;
    done.with_context(|| format!("{} was not undone", step.fault))?.with_context(|| step.fault.to_string())?;
    tracing::info!(%target, fault = %step.fault, "a fault is over");
    deployment.disturbances.end(&step);
    deployment.recorder.record(What::FaultEnded { fault, target })?;
    drop(turn);
    streams::stayed(&deployment, streams).await;
    Ok(())
}

async fn inject(deployment: &Deployment, step: &Step, end: Instant) -> Result<()> {
    let rng = StdRng::seed_from_u64(step.seed);
    match step.fault.action() {
        Action::Kill => process::kill(supervisor(deployment, step), end).await,
        Action::Stop => process::stop(supervisor(deployment, step), end).await,
        Action::Terminate => process::terminate(supervisor(deployment, step), end).await,
        Action::Network(fault) => network::inject(proxies(deployment, step), fault, rng, end).await?,
        Action::Sql(fault) => sql::inject(&deployment.database.proxies[step.index], fault, rng, end).await,
        Action::KillLocked => {
            let locked = foreign::lock_what_is_written(&deployment.database, rng).await;
            process::kill(supervisor(deployment, step), end).await;
            drop(locked);
        }
        Action::KillDatabaseLocked => {
            let locked = foreign::lock_what_is_written(&deployment.database, rng).await;
            database::kill(deployment, end).await?;
            drop(locked);
        }
        Action::KillDatabase => database::kill(deployment, end).await?,
        Action::RestartDatabase => database::restart(deployment, end).await?,
        Action::StopDatabase => database::hang(deployment, end).await?,
        Action::SetClockBack => database::set_clock_back(deployment, rng, end).await?,
        Action::LoseStandby => database::lose_standby(&deployment.database, end).await?,
        Action::FillDisk => disk::fill(deployment, rng, end).await?,
        Action::Foreign(session) => {
            // A foreign session may fail: it is not under test.
            if let Err(error) = foreign::inject(&deployment.database, session, rng, end).await {
                tracing::warn!(?session, %error, "a foreign session has failed");
                deployment.findings.count("foreign sessions failed");
            }
        }
    }
    Ok(())
}

fn supervisor<'h>(deployment: &'h Deployment, step: &Step) -> &'h Supervisor {
    match step.fault.target() {
        Target::Worker => &deployment.workers[step.index],
        _ => &deployment.servers[step.index].supervisor,
    }
}

fn proxies<'h>(deployment: &'h Deployment, step: &Step) -> &'h [Arc<Proxy>] {
    match step.fault.target() {
        Target::Worker => &deployment.worker_proxies[step.index],
        Target::Client => &deployment.client_proxies[step.index],
        _ => &deployment.database.proxies[step.index..=step.index],
    }
}

/// The name in the history: the process of a worker, or the name of any other target.
fn target(deployment: &Deployment, step: &Step) -> String {
    match step.fault.target() {
        Target::Server | Target::DatabaseLink => deployment.servers[step.index].name.clone(),
        Target::Worker => deployment.workers[step.index].process().map(|process| process.actor).unwrap_or_default(),
        Target::Client => CLIENTS[step.index].to_owned(),
        Target::Database => "database".to_owned(),
    }
}
