//! All that is under test, put together.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use tokio::sync::watch;

use super::database::Database;
use super::keeper::Keeper;
use super::plan::{CLIENTS, SERVERS, WORKERS};
use super::server::Server;
use super::worker::Worker;
use crate::findings::Notebook;
use crate::history::Recorder;
use crate::proxy::{Proxy, Speaks};

/// Fields end in this order: the workers first, the database last.
#[derive(Debug)]
pub(super) struct House {
    pub(super) workers: Vec<Keeper>,
    pub(super) servers: Vec<Kept>,
    pub(super) database: Database,
    /// Of each worker: a line to each server.
    pub(super) worker_lines: Vec<Vec<Arc<Proxy>>>,
    /// Of each client.
    pub(super) client_lines: Vec<Vec<Arc<Proxy>>>,
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
        let database = Database::open(SERVERS).await?;
        let worker_lines = lines(WORKERS).await?;
        let client_lines = lines(CLIENTS.len()).await?;
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
        Ok(Self { workers, servers, database, worker_lines, client_lines, recorder, notebook, folder })
    }

    /// Where a client finds the servers.
    pub(super) fn addresses(&self, client: usize) -> Vec<SocketAddr> {
        self.client_lines[client].iter().map(|line| line.address()).collect()
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
