//! What can go wrong at the database.

use std::sync::Arc;

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

/// Every failure of a unit of database work, by what the caller can do about it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database can not be reached, or did not answer in time. Nothing was written.
    #[error("the database is not available: {0}")]
    Unavailable(Arc<str>),
    /// The connection was lost while a commit was on its way: it may have happened or not.
    #[error("the connection was lost at the commit: {0}")]
    CommitUnknown(Arc<str>),
    /// Too many others wait for the database. Nothing was written.
    #[error("too many requests wait for the database")]
    Overloaded,
    /// A lock was not had in time. Nothing was written.
    #[error("a lock was not had in time")]
    LockTimeout,
    /// Another transaction holds this `request_id`. Nothing was written.
    #[error("another transaction holds the request id")]
    RequestHeld,
    /// The database has cancelled a statement, as at the statement timeout: it is there, and has answered. Nothing was written.
    #[error("the database has cancelled a statement: {0}")]
    StatementCancelled(Arc<str>),
    /// A rule of the schema was broken. Nothing was written.
    #[error("constraint {constraint} is violated: {message}")]
    Constraint { constraint: Arc<str>, message: Arc<str> },
    /// Another transaction was in the way; the same again may succeed. Nothing was written.
    #[error("another transaction was in the way: {0}")]
    Serialization(Arc<str>),
    /// A defect: of a statement, of a row that is not as the code expects it, or of a panicking unit of work.
    #[error("database work failed: {0}")]
    Defect(Arc<str>),
}

impl StoreError {
    /// A row is not as the code expects it.
    pub fn defect(what: impl Into<String>) -> Self {
        StoreError::Defect(what.into().into())
    }

    /// Whether the same later may succeed: the database is away, or others are in the way.
    pub fn is_passing(&self) -> bool {
        self.is_outage() || self.is_contention() || matches!(self, StoreError::Overloaded)
    }

    /// Whether the database is there, but others were in the way or a statement took too long. Nothing was written, and the same
    /// later may succeed. This is no outage: other writes go on, and leases end.
    pub fn is_contention(&self) -> bool {
        matches!(
            self,
            StoreError::LockTimeout
                | StoreError::RequestHeld
                | StoreError::StatementCancelled(_)
                | StoreError::Serialization(_)
        )
    }

    /// Whether the database is away, so that the same later may succeed.
    pub fn is_outage(&self) -> bool {
        matches!(self, StoreError::Unavailable(_) | StoreError::CommitUnknown(_))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let text: Arc<str> = error.to_string().into();
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
                    // At the statement timeout, or by an operator.
                    "57014" => StoreError::StatementCancelled(text),
                    // Shutdowns, start-up, recovery, too many clients, out of disk or memory.
                    code if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => {
                        StoreError::Unavailable(text)
                    }
                    _ if ends_the_connection(database.as_ref()) => StoreError::Unavailable(text),
                    // A stand-by that was promoted away from us.
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

/// Whether the database has ended the connection with this, or did not open it: whatever the code says, what is wrong is not the
/// statement. A full disk, for one, may refuse connections as an internal error.
fn ends_the_connection(error: &(dyn DatabaseError + 'static)) -> bool {
    let severity = error.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::severity);
    matches!(severity, Some(PgSeverity::Fatal | PgSeverity::Panic))
}
