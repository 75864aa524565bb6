//! Starts the actors within the lab: clients, watchers, and workers that speak the protocol themselves.

use std::sync::Arc;

use anyhow::Result;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::deployment::Deployment;
use super::plan::CLIENTS;
use crate::history::{Filter, Recorder};
use crate::workload::{Client, Known, RawWorker, SqlClient, UnaryWorker, Watcher};

/// Starts all clients and the workers within the lab. They run until `stop`.
pub(super) fn clients(
    deployment: &Deployment,
    seed: u64,
    known: &Arc<Known>,
    stop: &CancellationToken,
) -> Result<JoinSet<Result<()>>> {
    let mut clients = JoinSet::new();
    for (index, name) in CLIENTS.into_iter().filter(|name| name.starts_with('c')).enumerate() {
        let recorder = Recorder::create(&deployment.folder, name)?;
        let client = Client::new(name, deployment.caller(name)?, Arc::clone(known), recorder, own_seed(seed, index));
        clients.spawn(Box::pin(client.run(stop.clone())));
    }
    for (index, name) in ["sql1", "sql2"].into_iter().enumerate() {
        let recorder = Recorder::create(&deployment.folder, name)?;
        let (url, seed) = (deployment.database.url(), own_seed(seed, 100 + index));
        let client = SqlClient::new(name, url, Arc::clone(known), recorder, seed);
        clients.spawn(Box::pin(client.run(stop.clone())));
    }
    let raw = RawWorker::new(deployment.folder.clone(), deployment.caller("raw")?, own_seed(seed, 200));
    clients.spawn(Box::pin(raw.run(stop.clone())));
    let recorder = Recorder::create(&deployment.folder, "unary")?;
    let unary = UnaryWorker::new(deployment.caller("unary")?, recorder, own_seed(seed, 201));
    clients.spawn(Box::pin(unary.run(stop.clone())));
    Ok(clients)
}

/// The watchers.
pub(super) struct Watching {
    pub(super) watchers: JoinSet<Result<()>>,
    /// How many bookmarks each has received.
    pub(super) bookmarks: Vec<watch::Receiver<u64>>,
}

/// Starts the watchers.
pub(super) fn watchers(deployment: &Deployment, settling: &watch::Receiver<bool>) -> Result<Watching> {
    let (mut watchers, mut bookmarks) = (JoinSet::new(), Vec::new());
    let lanes = Filter { lanes: vec!["B".to_owned(), "C".to_owned()], ..Filter::default() };
    for (name, filter) in [("all", Filter::default()), ("lanes", lanes)] {
        let watcher = Watcher::new(name, deployment.caller(name)?, Recorder::create(&deployment.folder, name)?, filter);
        bookmarks.push(watcher.bookmarks());
        watchers.spawn(Box::pin(watcher.run(settling.clone())));
    }
    Ok(Watching { watchers, bookmarks })
}

/// Each actor has its own random numbers, so that the choices of one change no other.
fn own_seed(seed: u64, actor: usize) -> u64 {
    seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(actor as u64 + 1)
}
