//! One PostgreSQL for all measurements, and for each scenario a new database with servers on it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, ensure};
use devpg::{Cluster, ClusterOptions, Programs};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

use crate::server::Server;

/// Durable as in production. All else is PostgreSQL's default, except the two sizes of the measurements that set the targets.
pub const DATABASE_SETTINGS: [(&str, &str); 9] = [
    ("fsync", "on"),
    ("full_page_writes", "on"),
    ("synchronous_commit", "on"),
    ("shared_buffers", "1GB"),
    ("max_wal_size", "4GB"),
    ("autovacuum", "on"),
    ("wal_init_zero", "on"),
    ("wal_recycle", "on"),
    ("max_connections", "200"),
];

/// The PostgreSQL and the program that all scenarios share.
pub struct Bench {
    cluster: Cluster,
    program: PathBuf,
    logs: PathBuf,
    _temporary: Option<TempDir>,
    databases: AtomicU32,
}

impl Bench {
    /// Starts PostgreSQL on this disk. Logs are kept only if a folder is given.
    pub async fn open(program: PathBuf, disk: &Path, logs: Option<&Path>) -> Result<Self> {
        ensure!(program.is_file(), "there is no program {}: build it, or name it by --ops", program.display());
        let (logs, temporary) = match logs {
            Some(logs) => (logs.to_owned(), None),
            None => {
                let temporary = tempfile::tempdir()?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        std::fs::create_dir_all(&logs)?;
        let settings = DATABASE_SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let options = ClusterOptions::temporary_in(disk).settings(settings);
        let cluster = Box::pin(Cluster::start(&Programs::find(None)?, options)).await?;
        Ok(Self { cluster, program, logs, _temporary: temporary, databases: AtomicU32::new(0) })
    }

    /// A new, empty database.
    pub async fn database(&self) -> Result<Database<'_>> {
        let name = format!("bench_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.cluster.create_database(&name).await?;
        Ok(Database { bench: self, url: self.cluster.url(&name), name })
    }

    /// A new database with this number of servers on it, migrated and ready.
    pub async fn deploy(&self, servers: usize) -> Result<Deployment<'_>> {
        let mut deployment = Deployment { database: self.database().await?, servers: Vec::new() };
        for _ in 0..servers {
            deployment.add_server().await?;
        }
        Ok(deployment)
    }

    /// The log of the database so far.
    pub fn database_log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.cluster.log_path())?)
    }
}

/// A database of one scenario.
pub struct Database<'b> {
    bench: &'b Bench,
    name: String,
    url: String,
}

impl Database<'_> {
    /// A connection as superuser, which row-level security does not bind.
    pub async fn connect(&self) -> Result<PgConnection> {
        Ok(PgConnection::connect(&self.url).await?)
    }

    /// A URL over loopback with a password, which every client understands.
    pub fn tcp_url(&self) -> String {
        self.bench.cluster.tcp_url(&self.name)
    }

    /// Removes it, so that autovacuum does not clean its dead rows while other scenarios are measured.
    pub async fn remove(self) -> Result<()> {
        Ok(self.bench.cluster.drop_database(&self.name).await?)
    }

    /// Writes all changes to disk, so that this does not happen during a measurement.
    pub async fn checkpoint(&self) -> Result<()> {
        sqlx::raw_sql("CHECKPOINT").execute(&mut self.connect().await?).await?;
        Ok(())
    }
}

/// Servers on a database.
pub struct Deployment<'b> {
    pub database: Database<'b>,
    pub servers: Vec<Server>,
}

impl Deployment<'_> {
    /// Starts one more server. The first one migrates the database.
    pub async fn add_server(&mut self) -> Result<()> {
        let bench = self.database.bench;
        let log = bench.logs.join(format!("{}-{}.log", self.database.name, self.servers.len()));
        self.servers.push(Server::start(&bench.program, &self.database.url, log).await?);
        Ok(())
    }

    /// Shuts the servers down, then removes the database.
    pub async fn close(self) -> Result<()> {
        for server in self.servers {
            server.stop().await?;
        }
        self.database.remove().await
    }
}
