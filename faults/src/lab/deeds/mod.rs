//! Does what is planned: each deed begins, lasts, and is undone.

mod database;
mod disk;
mod network;
mod process;
mod snare;
mod stranger;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep_until};

use super::deed::{Act, Aim};
use super::house::House;
use super::keeper::Keeper;
use super::plan::{CLIENTS, Step};
use crate::history::What;
use crate::proxy::Proxy;

/// How long after its time a deed may take to be undone.
const UNDONE: Duration = Duration::from_secs(60);

/// Does one step at its time.
///
/// # Errors
///
/// When the lab itself fails, so that nothing that follows could be judged.
pub(super) async fn act(house: Arc<House>, step: Step, begin: Instant) -> Result<()> {
    sleep_until(begin + Duration::from_millis(step.after_ms)).await;
    // A database that is long in coming back is not taken away again before.
    let turn = match step.deed.aim() {
        Aim::Database => Some(house.database.turn.lock().await),
        _ => None,
    };
    let (fault, target) = (step.deed.fault(), target(&house, &step));
    let detail = format!("{} for {} ms", step.deed, step.for_ms);
    tracing::info!(%target, %detail, "a fault begins");
    house.recorder.record(What::FaultBegan { fault, target: target.clone(), detail })?;
    house.wellness.begin(&step);
    let streams = streams::look(&house, &step);
    let lasts = Duration::from_millis(step.for_ms);
    let commit = Box::pin(commit(&house, &step, Instant::now() + lasts));
    let done = tokio::time::timeout(lasts + UNDONE, commit).await;
    done.with_context(|| format!("{} was not undone", step.deed))?.with_context(|| step.deed.to_string())?;
    tracing::info!(%target, deed = %step.deed, "a fault is over");
    house.wellness.end(&step);
    house.recorder.record(What::FaultEnded { fault, target })?;
    drop(turn);
    streams::stayed(&house, streams).await;
    Ok(())
}

async fn commit(house: &House, step: &Step, end: Instant) -> Result<()> {
    let rng = StdRng::seed_from_u64(step.dice);
    match step.deed.act() {
        Act::Kill => process::kill(keeper(house, step), end).await,
        Act::Stop => process::stop(keeper(house, step), end).await,
        Act::Ask => process::ask(keeper(house, step), end).await,
        Act::Network(trouble) => network::trouble(lines(house, step), trouble, rng, end).await?,
        Act::Snare(snare) => snare::lay(&house.database.lines[step.index], snare, rng, end).await,
        Act::KillLocked => {
            let locked = stranger::lock_what_is_written(&house.database, rng).await;
            process::kill(keeper(house, step), end).await;
            drop(locked);
        }
        Act::KillDatabaseLocked => {
            let locked = stranger::lock_what_is_written(&house.database, rng).await;
            database::kill(house, end).await?;
            drop(locked);
        }
        Act::KillDatabase => database::kill(house, end).await?,
        Act::RestartDatabase => database::restart(house, end).await?,
        Act::StopDatabase => database::hang(house, end).await?,
        Act::FillDisk => disk::fill(house, rng, end).await?,
        Act::Stranger(stranger) => {
            // What a stranger can not do, he leaves: he is not who is judged.
            if let Err(error) = stranger::act(&house.database, stranger, rng, end).await {
                tracing::warn!(?stranger, %error, "a stranger has failed");
                house.notebook.count("strangers failed");
            }
        }
    }
    Ok(())
}

fn keeper<'h>(house: &'h House, step: &Step) -> &'h Keeper {
    match step.deed.aim() {
        Aim::Worker => &house.workers[step.index],
        _ => &house.servers[step.index].keeper,
    }
}

fn lines<'h>(house: &'h House, step: &Step) -> &'h [Arc<Proxy>] {
    match step.deed.aim() {
        Aim::Worker => &house.worker_lines[step.index],
        Aim::Client => &house.client_lines[step.index],
        _ => &house.database.lines[step.index..=step.index],
    }
}

/// Whom the history names: a worker by its life, everybody else by name.
fn target(house: &House, step: &Step) -> String {
    match step.deed.aim() {
        Aim::Server | Aim::Line => house.servers[step.index].name.clone(),
        Aim::Worker => house.workers[step.index].life().map(|life| life.actor).unwrap_or_default(),
        Aim::Client => CLIENTS[step.index].to_owned(),
        Aim::Database => "database".to_owned(),
    }
}
