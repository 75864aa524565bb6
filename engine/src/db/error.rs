//! Failures of database work.

use std::sync::Arc;

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

/// Every failure of a unit of database work, by what the caller can do about it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database can not be reached, or did not answer in time. Nothing was written.
    #[error("the database is not available: {0}")]
    Unavailable(Arc<str>),
    /// The connection was lost during a commit, which may have happened or not.
    #[error("the connection was lost at the commit: {0}")]
    CommitUnknown(Arc<str>),
    /// Too many requests wait for the database. Nothing was written.
    #[error("too many requests wait for the database")]
    Overloaded,
    /// The wait for a lock timed out. Nothing was written.
    #[error("the wait for a lock timed out")]
    LockTimeout,
    /// Another transaction holds this `request_id`. Nothing was written.
    #[error("another transaction holds the request id")]
    RequestHeld,
    /// The database cancelled a statement, for example at the statement timeout. It is not away: it has answered. Nothing was written.
    #[error("the database cancelled a statement: {0}")]
    StatementCancelled(Arc<str>),
    /// A write violated a constraint of the schema. Nothing was written.
    #[error("constraint {constraint} is violated: {message}")]
    Constraint { constraint: Arc<str>, message: Arc<str> },
    /// The transaction conflicted with another one, and may succeed when it is tried again. Nothing was written.
    #[error("conflict with another transaction: {0}")]
    Serialization(Arc<str>),
    /// A defect: a wrong statement, a row that the code does not expect, or a unit of work that panicked.
    #[error("database work failed: {0}")]
    Defect(Arc<str>),
}

impl StoreError {
    /// A defect, such as a row that the code does not expect.
    pub fn defect(what: impl Into<String>) -> Self {
        StoreError::Defect(what.into().into())
    }

    /// What went wrong, for people: the message of PostgreSQL with its SQLSTATE, without the line of its source.
    pub fn text_of(error: &sqlx::Error) -> String {
        match error {
            sqlx::Error::Database(database) => {
                format!("{} ({})", database.message(), database.code().unwrap_or_default())
            }
            other => other.to_string(),
        }
    }

    /// Whether the same work may succeed later: the database is away or busy, or another transaction is in the way.
    pub fn is_passing(&self) -> bool {
        self.is_outage() || self.is_contention() || matches!(self, StoreError::Overloaded)
    }

    /// Whether another transaction was in the way or a statement took too long. Nothing was written, and the same work may succeed
    /// later. This is no outage: other writes go on, and leases end.
    pub fn is_contention(&self) -> bool {
        matches!(
            self,
            StoreError::LockTimeout
                | StoreError::RequestHeld
                | StoreError::StatementCancelled(_)
                | StoreError::Serialization(_)
        )
    }

    /// Whether the database is away. The same work may succeed later.
    pub fn is_outage(&self) -> bool {
        matches!(self, StoreError::Unavailable(_) | StoreError::CommitUnknown(_))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let text: Arc<str> = StoreError::text_of(&error).into();
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => StoreError::Unavailable(text),
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default();
                match code.as_ref() {
                    "55P03" => StoreError::LockTimeout,
                    "40001" | "40P01" => StoreError::Serialization(text),
                    // The statement timeout, or an operator, has cancelled it.
                    "57014" => StoreError::StatementCancelled(text),
                    // Shutdowns, start-up, recovery, too many clients, out of disk or memory.
                    code if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => {
                        StoreError::Unavailable(text)
                    }
                    _ if ends_the_connection(database.as_ref()) => StoreError::Unavailable(text),
                    // The connection leads to a stand-by, which only reads.
                    "25006" => StoreError::Unavailable(text),
                    code if code.starts_with("23") => StoreError::Constraint {
                        constraint: database.constraint().unwrap_or_default().into(),
                        message: text,
                    },
                    _ => StoreError::Defect(text),
                }
            }
            _ => StoreError::Defect(text),
        }
    }
}

/// Whether the database closed or refused the connection with this error. Then the cause is not the statement, whatever the code says:
/// a full disk, for example, may refuse connections as an internal error.
fn ends_the_connection(error: &(dyn DatabaseError + 'static)) -> bool {
    let severity = error.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::severity);
    matches!(severity, Some(PgSeverity::Fatal | PgSeverity::Panic))
}
