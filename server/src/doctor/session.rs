//! The doctor's connection. Each statement runs in a read-only transaction, with deadlines.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, FromRow, PgConnection};

use engine::db::{DatabaseUrl, StoreError};

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the database may work on a statement.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long its answer may take to arrive.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);

/// The reason why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("no answer within {0:?}")]
    Late(Duration),
    #[error("{}", StoreError::text_of(.0))]
    Sql(#[from] sqlx::Error),
}

impl ReadError {
    /// Whether the connection can not be used any more.
    pub fn is_lost(&self) -> bool {
        match self {
            ReadError::Late(_) => true,
            ReadError::Sql(error) => !matches!(
                error,
                sqlx::Error::Database(_)
                    | sqlx::Error::ColumnDecode { .. }
                    | sqlx::Error::ColumnNotFound(_)
                    | sqlx::Error::Decode(_)
                    | sqlx::Error::RowNotFound
            ),
        }
    }

    /// The SQLSTATE, if the database answered with an error.
    pub fn code(&self) -> Option<String> {
        match self {
            ReadError::Sql(sqlx::Error::Database(error)) => error.code().map(|code| code.into_owned()),
            _ => None,
        }
    }
}

/// A connection that only reads.
#[derive(Debug)]
pub struct Session {
    url: DatabaseUrl,
    connection: PgConnection,
}

impl Session {
    /// Opens a connection: to the primary, if the URL names several servers, or else to one that answers.
    pub async fn open(url: &DatabaseUrl) -> Result<Self, ReadError> {
        let mut found = Err(ReadError::Late(CONNECT_TIMEOUT));
        for (number, server) in url.servers().iter().enumerate() {
            let opened = Self::open_at(url, server).await;
            let Ok(mut session) = opened else {
                if number == 0 {
                    found = opened;
                }
                continue;
            };
            let is_standby = "SELECT pg_is_in_recovery()";
            if url.servers().len() == 1 || session.row::<(bool,)>(is_standby).await.is_ok_and(|(standby,)| !standby) {
                return Ok(session);
            }
            if found.is_err() {
                found = Ok(session);
            }
        }
        found
    }

    async fn open_at(url: &DatabaseUrl, server: &PgConnectOptions) -> Result<Self, ReadError> {
        let options = server.clone().application_name("ops doctor");
        let connecting = options.connect();
        let connection =
            tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.map_err(|_| ReadError::Late(CONNECT_TIMEOUT))??;
        Ok(Self { url: url.clone(), connection })
    }

    /// The database that this connection leads to.
    pub fn url(&self) -> &DatabaseUrl {
        &self.url
    }

    /// The rows of a statement.
    pub async fn rows<T>(&mut self, sql: &'static str) -> Result<Vec<T>, ReadError>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        self.rows_as(None, sql).await
    }

    /// The only row of a statement.
    pub async fn row<T>(&mut self, sql: &'static str) -> Result<T, ReadError>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        self.rows(sql).await?.pop().ok_or(ReadError::Sql(sqlx::Error::RowNotFound))
    }

    /// The rows of a statement that runs as this role.
    pub async fn rows_as<T>(&mut self, role: Option<&'static str>, sql: &'static str) -> Result<Vec<T>, ReadError>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let answered = async {
            self.begin(role).await?;
            // Not persistent, because a pooler may give each transaction another connection.
            let rows = sqlx::query_as::<_, T>(sql).persistent(false).fetch_all(&mut self.connection).await;
            sqlx::raw_sql("ROLLBACK").execute(&mut self.connection).await?;
            rows
        };
        Ok(tokio::time::timeout(ANSWER_TIMEOUT, answered).await.map_err(|_| ReadError::Late(ANSWER_TIMEOUT))??)
    }

    /// Whether this connection may become that role.
    pub async fn become_role(&mut self, role: &'static str) -> Result<(), ReadError> {
        self.rows_as::<(i32,)>(Some(role), "SELECT 1").await.map(drop)
    }

    /// Begins a transaction and leaves it open.
    async fn begin(&mut self, role: Option<&'static str>) -> Result<(), sqlx::Error> {
        let role = role.map(|role| format!("; SET LOCAL ROLE {role}")).unwrap_or_default();
        let timeout = STATEMENT_TIMEOUT.as_millis();
        let begin =
            format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {timeout}; SET LOCAL search_path = ''{role}");
        let begun = sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut self.connection).await;
        if begun.is_err() {
            sqlx::raw_sql("ROLLBACK").execute(&mut self.connection).await?;
        }
        begun.map(drop)
    }

    pub async fn close(self) {
        // All answers have been read, so an error makes no difference.
        let _ = tokio::time::timeout(ANSWER_TIMEOUT, self.connection.close()).await;
    }
}
