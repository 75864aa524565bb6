//! What is measured: one PostgreSQL, and for each scenario a new database with servers on it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use devpg::{Cluster, ClusterOptions, Programs};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

use crate::args::Args;
use crate::server::Server;

/// Durable, as in production, and as PostgreSQL comes but for two sizes, which are those of the measurements that the targets come
/// from.
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

/// What all scenarios share.
pub struct Bench {
    cluster: Cluster,
    program: PathBuf,
    logs: PathBuf,
    _temporary: Option<TempDir>,
    databases: AtomicU32,
}

impl Bench {
    pub async fn open(args: &Args) -> Result<Self> {
        let beside = || Ok::<_, anyhow::Error>(std::env::current_exe()?.with_file_name("ops"));
        let program = args.ops.clone().map_or_else(beside, Ok)?;
        anyhow::ensure!(program.is_file(), "there is no program {}: build it, or name it by --ops", program.display());
        let temporary = if args.logs.is_none() { Some(tempfile::tempdir()?) } else { None };
        let logs = args.logs.clone().or_else(|| temporary.as_ref().map(|it| it.path().to_owned()));
        let logs = logs.context("there is no folder for logs")?;
        std::fs::create_dir_all(&logs)?;
        let settings = DATABASE_SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let options = ClusterOptions::temporary_in(&args.disk).settings(settings);
        let cluster = Box::pin(Cluster::start(&Programs::find(None)?, options)).await?;
        Ok(Self { cluster, program, logs, _temporary: temporary, databases: AtomicU32::new(0) })
    }

    /// A new, empty database.
    pub async fn database(&self) -> Result<Database<'_>> {
        let name = format!("bench_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.cluster.create_database(&name).await?;
        Ok(Database { bench: self, url: self.cluster.url(&name), name })
    }

    /// A new database with so many servers on it, migrated and ready.
    pub async fn house(&self, servers: usize) -> Result<House<'_>> {
        let mut house = House { database: self.database().await?, servers: Vec::new() };
        for _ in 0..servers {
            house.add_server().await?;
        }
        Ok(house)
    }

    /// What the database has written to its log.
    pub fn database_log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.cluster.log_path())?)
    }
}

/// A database of its own.
pub struct Database<'b> {
    bench: &'b Bench,
    name: String,
    url: String,
}

impl Database<'_> {
    /// A connection as superuser, past row-level security.
    pub async fn connect(&self) -> Result<PgConnection> {
        Ok(PgConnection::connect(&self.url).await?)
    }

    /// A URL over loopback, with a password, which every client understands.
    pub fn tcp_url(&self) -> String {
        self.bench.cluster.tcp_url(&self.name)
    }

    /// Removes it, so that its dead rows do not occupy autovacuum while others are measured.
    pub async fn remove(self) -> Result<()> {
        Ok(self.bench.cluster.drop_database(&self.name).await?)
    }

    /// Writes what was changed so far to disk, so that nobody who is measured does it.
    pub async fn checkpoint(&self) -> Result<()> {
        sqlx::raw_sql("CHECKPOINT").execute(&mut self.connect().await?).await?;
        Ok(())
    }
}

/// Servers on a database.
pub struct House<'b> {
    pub database: Database<'b>,
    pub servers: Vec<Server>,
}

impl House<'_> {
    /// Starts one more server; the first migrates the database.
    pub async fn add_server(&mut self) -> Result<()> {
        let bench = self.database.bench;
        let log = bench.logs.join(format!("{}-{}.log", self.database.name, self.servers.len()));
        self.servers.push(Server::start(&bench.program, &self.database.url, log).await?);
        Ok(())
    }

    /// Ends the servers in order, then removes the database.
    pub async fn close(self) -> Result<()> {
        for server in self.servers {
            server.stop().await?;
        }
        self.database.remove().await
    }
}
