//! Short sessions as superuser, which probe a server and create databases.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, PgConnection};

/// The time limit of a probe. A paused server accepts connections in its backlog and never answers.
const ANSWER: Duration = Duration::from_secs(2);

/// SQLSTATE `cannot_connect_now`: starting up, recovering, or shutting down.
const NOT_NOW: &str = "57P03";

/// A server's answer to a new connection.
#[derive(Debug)]
pub(crate) enum Readiness {
    /// It works, and this is its data folder.
    Ready(PathBuf),
    /// Nobody listens yet, or the server asks to try again.
    NotYet,
    /// It runs, but refuses the session.
    Refused(sqlx::Error),
}

/// Opens a session.
pub(crate) async fn connect(url: &str) -> Result<PgConnection, sqlx::Error> {
    let options: PgConnectOptions = url.parse()?;
    options.ssl_mode(PgSslMode::Disable).application_name("devpg").disable_statement_logging().connect().await
}

/// Probes once.
pub(crate) async fn probe(url: &str) -> Readiness {
    let ask = async {
        let mut session = connect(url).await?;
        let folder: String = sqlx::query_scalar("SHOW data_directory").fetch_one(&mut session).await?;
        session.close().await?;
        Ok(PathBuf::from(folder))
    };
    match tokio::time::timeout(ANSWER, ask).await {
        Ok(Ok(folder)) => Readiness::Ready(folder),
        Ok(Err(sqlx::Error::Database(error))) if error.code().as_deref() != Some(NOT_NOW) => {
            Readiness::Refused(sqlx::Error::Database(error))
        }
        Ok(Err(_)) | Err(_) => Readiness::NotYet,
    }
}
