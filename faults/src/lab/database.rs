//! The PostgreSQL of a run.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use devpg::{Clock, Cluster, ClusterOptions, Programs};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use super::disk::Disk;
use crate::proxy::{Cut, Protocol, Proxy};

/// PostgreSQL accepts few connections, so that foreign sessions can take all of them.
pub(super) const CONNECTIONS: u32 = 60;
/// The time limit of the lab's own statements, which are small.
const TIMEOUT: Duration = Duration::from_secs(5);
const NAME: &str = "ops";
const ROLE: &str = "faults_server";

/// A cluster, and a proxy to it for each server.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) cluster: Cluster,
    pub(super) proxies: Vec<Arc<Proxy>>,
    /// The file system of the run, if there is one.
    pub(super) disk: Option<Disk>,
    /// Its clock, if libfaketime is installed, and how many seconds it was set back in all.
    clock: Option<Clock>,
    set_back: AtomicI64,
    password: String,
    /// One fault of the database at a time.
    pub(super) turn: tokio::sync::Mutex<()>,
}

impl Database {
    /// Starts a durable private cluster (fsync on) with an empty database.
    pub(super) async fn open(folder: &Path, servers: usize) -> Result<Self> {
        let disk = Disk::mount(folder)?;
        let options = match &disk {
            Some(disk) => ClusterOptions::temporary_in(disk.path()),
            None => ClusterOptions::temporary(),
        };
        let clock = Clock::in_folder(folder)?;
        let options = match &clock {
            Some(clock) => options.clock(clock),
            None => {
                tracing::warn!("libfaketime is not installed: the clock of PostgreSQL does not go back");
                options
            }
        };
        let options = options
            .setting("fsync", "on")
            .setting("full_page_writes", "on")
            .setting("autovacuum", "on")
            // The write-ahead log is small, and allocated in advance, which is the default.
            .setting("wal_init_zero", "on")
            .setting("max_wal_size", "96MB")
            .setting("max_connections", CONNECTIONS.to_string())
            .setting("log_line_prefix", "%m [%p] %a ");
        let cluster = Box::pin(Cluster::start(&Programs::find(None)?, options)).await?;
        cluster.create_database(NAME).await?;
        let password = Uuid::new_v4().to_string();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, cluster.port()));
        let mut proxies = Vec::new();
        for _ in 0..servers {
            proxies.push(Arc::new(Proxy::open(Protocol::Postgres, Some(address)).await?));
        }
        let (set_back, turn) = (AtomicI64::default(), tokio::sync::Mutex::default());
        let database = Self { cluster, proxies, disk, clock, set_back, password, turn };
        database.make_role().await?;
        Ok(database)
    }

    /// Makes the role of the servers, with an MD5 password: SCRAM costs a debug build so much processor time that the
    /// servers would do little else after each cut.
    async fn make_role(&self) -> Result<()> {
        let path = self.cluster.data_dir().join("pg_hba.conf");
        let rules = std::fs::read_to_string(&path)?;
        std::fs::write(&path, format!("host all {ROLE} 127.0.0.1/32 md5\n{rules}"))?;
        let make = format!(
            "SET password_encryption = 'md5'; CREATE ROLE {ROLE} LOGIN SUPERUSER PASSWORD '{}'; SELECT pg_reload_conf()",
            self.password
        );
        sqlx::raw_sql(AssertSqlSafe(make)).execute(&mut self.connect().await?).await?;
        Ok(())
    }

    /// The URL of a server, through its proxy.
    pub(super) fn url_for_server(&self, server: usize) -> String {
        let Self { proxies, password, .. } = self;
        // Without TLS, because the proxy reads the protocol.
        format!("postgres://{ROLE}:{password}@{}/{NAME}?sslmode=disable", proxies[server].address())
    }

    /// The URL without a proxy.
    pub(super) fn url(&self) -> String {
        self.cluster.url(NAME)
    }

    /// A session of the lab itself.
    pub(super) async fn connect(&self) -> Result<PgConnection> {
        let url = self.url();
        let connection = tokio::time::timeout(TIMEOUT, PgConnection::connect(&url)).await;
        Ok(connection.context("the database does not answer")??)
    }

    /// Sets the clock back by this many seconds more.
    pub(super) fn set_clock_back(&self, seconds: i64) -> Result<()> {
        let all = self.set_back.fetch_add(seconds, Ordering::Relaxed) + seconds;
        if let Some(clock) = &self.clock {
            clock.set(-all)?;
        }
        Ok(())
    }

    /// Changes a setting of the cluster while it runs.
    pub(super) async fn configure(&self, setting: &str, value: &str) -> Result<()> {
        let mut connection = self.connect().await?;
        for statement in [format!("ALTER SYSTEM SET {setting} = {value}"), "SELECT pg_reload_conf()".to_owned()] {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
        }
        Ok(())
    }

    /// Makes PostgreSQL's port refuse connections.
    pub(super) async fn leave(&self) -> Result<()> {
        for proxy in &self.proxies {
            proxy.order(|orders| orders.is_refusing = true).await?;
            proxy.cut(Cut::Rst);
        }
        Ok(())
    }

    /// Makes PostgreSQL's port accept connections.
    pub(super) async fn come_back(&self) -> Result<()> {
        for proxy in &self.proxies {
            proxy.order(|orders| orders.is_refusing = false).await?;
        }
        Ok(())
    }
}
