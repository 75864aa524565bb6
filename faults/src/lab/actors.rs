//! Who acts: clients, watchers, and a worker without manners.

use std::sync::Arc;

use anyhow::Result;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::deployment::Deployment;
use super::plan::CLIENTS;
use crate::history::{Filter, Recorder};
use crate::workload::{Client, Known, RawWorker, SqlClient, UnaryWorker, Watcher};

/// Begins whatever asks for work and does it, until it is told to stop.
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

/// Those who watch.
pub(super) struct Watching {
    pub(super) watchers: JoinSet<Result<()>>,
    /// How many bookmarks each has had.
    pub(super) bookmarks: Vec<watch::Receiver<u64>>,
}

/// Begins to watch.
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

/// Each actor has dice of its own, so that what one does moves nobody else's.
fn own_seed(seed: u64, actor: usize) -> u64 {
    seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(actor as u64 + 1)
}
