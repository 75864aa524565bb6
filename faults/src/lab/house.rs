//! All that is under test, put together.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::sync::watch;

use super::database::Database;
use super::keeper::Keeper;
use super::plan::{CLIENTS, OTHERS, SERVERS, WORKERS};
use super::server::Server;
use super::wellness::Wellness;
use super::worker::Worker;
use crate::findings::Notebook;
use crate::history::Recorder;
use crate::proxy::{Proxy, Speaks};
use crate::workload::Caller;

/// Fields end in this order: the workers first, the database last.
#[derive(Debug)]
pub(super) struct House {
    pub(super) workers: Vec<Keeper>,
    pub(super) servers: Vec<Kept>,
    pub(super) database: Database,
    /// Of each worker: a line to each server.
    pub(super) worker_lines: Vec<Vec<Arc<Proxy>>>,
    /// Of each client, and then of the others.
    pub(super) client_lines: Vec<Vec<Arc<Proxy>>>,
    pub(super) wellness: Wellness,
    pub(super) recorder: Arc<Recorder>,
    pub(super) notebook: Arc<Notebook>,
    pub(super) folder: PathBuf,
}

/// A server that is kept alive.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) name: String,
    pub(super) keeper: Keeper,
    pub(super) address: watch::Receiver<Option<SocketAddr>>,
}

impl House {
    /// Starts everything.
    pub(super) async fn open(folder: &Path, program: &Path, notebook: &Arc<Notebook>) -> Result<Self> {
        let recorder = Arc::new(Recorder::create(folder, "lab")?);
        let database = Database::open(folder, SERVERS).await?;
        let worker_lines = lines(WORKERS).await?;
        let client_lines = lines(CLIENTS.len() + OTHERS.len()).await?;
        let mut servers = Vec::new();
        for index in 0..SERVERS {
            let (address, receiver) = watch::channel(None);
            let server = Server {
                name: format!("s{}", index + 1),
                program: program.to_owned(),
                database_url: database.url_of_line(index),
                folder: folder.to_owned(),
                lines: worker_lines.iter().chain(&client_lines).map(|lines| Arc::clone(&lines[index])).collect(),
                address,
                recorder: Arc::clone(&recorder),
                notebook: Arc::clone(notebook),
            };
            let name = server.name.clone();
            servers.push(Kept { name, keeper: Keeper::start(Arc::new(server)), address: receiver });
        }
        let worker = |(index, lines): (usize, &Vec<Arc<Proxy>>)| Worker {
            name: format!("w{}", index + 1),
            folder: folder.to_owned(),
            lines: lines.clone(),
            notebook: Arc::clone(notebook),
        };
        let workers = worker_lines.iter().enumerate().map(|it| Keeper::start(Arc::new(worker(it)))).collect();
        let (notebook, folder) = (Arc::clone(notebook), folder.to_owned());
        let wellness = Wellness::new();
        Ok(Self { workers, servers, database, worker_lines, client_lines, wellness, recorder, notebook, folder })
    }

    /// The way of a client to the servers.
    pub(super) fn caller(&self, name: &str) -> Result<Caller> {
        let named = CLIENTS.iter().chain(&OTHERS).zip(&self.client_lines).find(|(it, _)| **it == name);
        let (_, lines) = named.with_context(|| format!("{name} has no lines"))?;
        let addresses: Vec<_> = lines.iter().map(|line| line.address()).collect();
        Caller::new(&addresses, Arc::clone(&self.notebook))
    }
}

/// For each of so many owners a line to each server.
async fn lines(owners: usize) -> Result<Vec<Vec<Arc<Proxy>>>> {
    let mut all = Vec::new();
    for _ in 0..owners {
        let mut lines = Vec::new();
        for _ in 0..SERVERS {
            lines.push(Arc::new(Proxy::open(Speaks::Http2, None).await?));
        }
        all.push(lines);
    }
    Ok(all)
}
