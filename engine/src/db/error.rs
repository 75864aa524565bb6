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
    /// What the session remembers of the database does not fit any more: a type has changed, or the database was restored. Nothing was
    /// written, unless an answer was unreadable. The same work may succeed in a new session, so only units of work see this.
    #[error("the session does not fit the database any more: {why}")]
    Stale { kind: Stale, why: Arc<str> },
    /// A defect: a wrong statement, a row that the code does not expect, or a unit of work that panicked.
    #[error("database work failed: {0}")]
    Defect(Arc<str>),
}

/// What did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stale {
    /// The database refused a statement that this session has prepared, or as this role.
    Session,
    /// The database does not have something that the schema has.
    Missing,
    /// The answer can not be read.
    Answer,
}

impl StoreError {
    /// What it means that work does not succeed in a new session either.
    pub(super) fn in_new_session(self) -> Self {
        match self {
            // Each statement was checked against the schema. It is being restored, or another one was put in its place.
            StoreError::Stale { kind: Stale::Missing, why } => {
                StoreError::Unavailable(format!("it does not have the schema of this version: {why}").into())
            }
            StoreError::Stale { why, .. } => StoreError::Defect(why),
            other => other,
        }
    }

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
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::TypeNotFound { .. }
            | sqlx::Error::Decode(_) => StoreError::Stale { kind: Stale::Answer, why: text },
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
                    code if is_stale(code, database.as_ref()) => StoreError::Stale { kind: Stale::Session, why: text },
                    // Undefined: table, function, type or other object, column, schema.
                    "42P01" | "42883" | "42704" | "42703" | "3F000" => {
                        StoreError::Stale { kind: Stale::Missing, why: text }
                    }
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

/// Whether a new session may do what this one can not.
fn is_stale(code: &str, error: &(dyn DatabaseError + 'static)) -> bool {
    match code {
        // A prepared statement is gone or there already: a pooler gave the session to another client.
        "26000" | "42P05" => true,
        // The role of the session was dropped and made again, or a column has another type than the statement was prepared for.
        "42501" | "42804" => true,
        // Cached plan must not change result type. The text depends on the language of the server.
        "0A000" => {
            let routine = error.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::routine);
            routine == Some("RevalidateCachedQuery")
        }
        // Texts of internal errors are not translated.
        "XX000" => ["cache lookup failed", "could not open relation"].iter().any(|text| error.message().contains(text)),
        _ => false,
    }
}

/// Whether the database closed or refused the connection with this error. Then the cause is not the statement, whatever the code says:
/// a full disk, for example, may refuse connections as an internal error.
fn ends_the_connection(error: &(dyn DatabaseError + 'static)) -> bool {
    let severity = error.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::severity);
    matches!(severity, Some(PgSeverity::Fatal | PgSeverity::Panic))
}
