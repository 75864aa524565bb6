//! All processes under test and the proxies between them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::sync::watch;

use super::database::Database;
use super::disturbances::Disturbances;
use super::plan::{CLIENTS, OTHERS, SERVERS, WORKERS};
use super::server::Server;
use super::supervisor::Supervisor;
use super::worker::Worker;
use crate::findings::SharedFindings;
use crate::history::Recorder;
use crate::proxy::{Protocol, Proxy};
use crate::workload::Caller;

/// Dropped in the order of the fields: the workers first, the database last.
#[derive(Debug)]
pub(super) struct Deployment {
    pub(super) workers: Vec<Supervisor>,
    pub(super) servers: Vec<ServerHandle>,
    pub(super) database: Database,
    /// For each worker a proxy to each server.
    pub(super) worker_proxies: Vec<Vec<Arc<Proxy>>>,
    /// For each client, and then for each of [`OTHERS`].
    pub(super) client_proxies: Vec<Vec<Arc<Proxy>>>,
    pub(super) disturbances: Disturbances,
    pub(super) recorder: Arc<Recorder>,
    pub(super) findings: Arc<SharedFindings>,
    pub(super) folder: PathBuf,
}

/// A server and its supervisor.
#[derive(Debug)]
pub(super) struct ServerHandle {
    pub(super) name: String,
    pub(super) supervisor: Supervisor,
    pub(super) address: watch::Receiver<Option<SocketAddr>>,
}

impl Deployment {
    /// Starts everything.
    pub(super) async fn open(folder: &Path, program: &Path, findings: &Arc<SharedFindings>) -> Result<Self> {
        let recorder = Arc::new(Recorder::create(folder, "lab")?);
        let database = Database::open(folder, SERVERS).await?;
        let worker_proxies = proxies(WORKERS).await?;
        let client_proxies = proxies(CLIENTS.len() + OTHERS.len()).await?;
        let mut servers = Vec::new();
        for index in 0..SERVERS {
            let (address, receiver) = watch::channel(None);
            let server = Server {
                name: format!("s{}", index + 1),
                program: program.to_owned(),
                database_url: database.url_for_server(index),
                folder: folder.to_owned(),
                proxies: worker_proxies
                    .iter()
                    .chain(&client_proxies)
                    .map(|proxies| Arc::clone(&proxies[index]))
                    .collect(),
                address,
                recorder: Arc::clone(&recorder),
                findings: Arc::clone(findings),
            };
            let name = server.name.clone();
            servers.push(ServerHandle { name, supervisor: Supervisor::start(Arc::new(server)), address: receiver });
        }
        let worker = |(index, proxies): (usize, &Vec<Arc<Proxy>>)| Worker {
            name: format!("w{}", index + 1),
            folder: folder.to_owned(),
            proxies: proxies.clone(),
            findings: Arc::clone(findings),
        };
        let workers = worker_proxies.iter().enumerate().map(|it| Supervisor::start(Arc::new(worker(it)))).collect();
        let (findings, folder) = (Arc::clone(findings), folder.to_owned());
        let disturbances = Disturbances::new();
        Ok(Self {
            workers,
            servers,
            database,
            worker_proxies,
            client_proxies,
            disturbances,
            recorder,
            findings,
            folder,
        })
    }

    /// The connections of a client to the servers.
    pub(super) fn caller(&self, name: &str) -> Result<Caller> {
        let named = CLIENTS.iter().chain(&OTHERS).zip(&self.client_proxies).find(|(it, _)| **it == name);
        let (_, proxies) = named.with_context(|| format!("{name} has no proxies"))?;
        let addresses: Vec<_> = proxies.iter().map(|proxy| proxy.address()).collect();
        Caller::new(&addresses, Arc::clone(&self.findings))
    }
}

/// For each owner a proxy to each server.
async fn proxies(owners: usize) -> Result<Vec<Vec<Arc<Proxy>>>> {
    let mut all = Vec::new();
    for _ in 0..owners {
        let mut proxies = Vec::new();
        for _ in 0..SERVERS {
            proxies.push(Arc::new(Proxy::open(Protocol::Http2, None).await?));
        }
        all.push(proxies);
    }
    Ok(all)
}
