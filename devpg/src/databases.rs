//! Creates and drops databases in a cluster.

use sqlx::{AssertSqlSafe, Connection};

use crate::cluster::Cluster;
use crate::error::DevpgError;
use crate::session::connect;

impl Cluster {
    /// Creates an empty database.
    ///
    /// # Errors
    ///
    /// [`DevpgError::Database`], also when the name is taken.
    pub async fn create_database(&self, name: &str) -> Result<(), DevpgError> {
        self.as_superuser("postgres", &format!("CREATE DATABASE {}", quoted(name))).await
    }

    /// Creates a database as a copy of `template`, which must have no connections.
    ///
    /// # Errors
    ///
    /// [`DevpgError::Database`], also when the name is taken or the template has connections.
    pub async fn create_database_from(&self, name: &str, template: &str) -> Result<(), DevpgError> {
        let statement = format!("CREATE DATABASE {} TEMPLATE {}", quoted(name), quoted(template));
        self.as_superuser("postgres", &statement).await
    }

    /// Drops a database and ends its sessions. A database that does not exist is no error.
    ///
    /// # Errors
    ///
    /// [`DevpgError::Database`] when the server refuses.
    pub async fn drop_database(&self, name: &str) -> Result<(), DevpgError> {
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(name));
        self.as_superuser("postgres", &statement).await
    }

    /// Turns a database into a template: ends its connections, and allows no new ones.
    pub(crate) async fn close_database(&self, name: &str) -> Result<(), DevpgError> {
        self.as_superuser("postgres", &format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", quoted(name))).await?;
        let literal = name.replace('\'', "''");
        let end = format!("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{literal}'");
        self.as_superuser("postgres", &end).await
    }

    /// Runs one statement in a session of its own.
    async fn as_superuser(&self, database: &str, statement: &str) -> Result<(), DevpgError> {
        let run = async {
            let mut session = connect(&self.url(database)).await?;
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut session).await?;
            session.close().await
        };
        run.await.map_err(|source| DevpgError::Database {
            action: format!("run `{statement}`"),
            log: self.log_path(),
            source,
        })
    }
}

fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}
