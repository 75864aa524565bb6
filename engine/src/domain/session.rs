//! A session groups runs and counts how they end.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::Identity;
use crate::domain::json::value::spelling;

/// The status of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionStatus {
    Active,
    Completed,
    Cancelled,
}

impl SessionStatus {
    pub const ALL: [SessionStatus; 3] = [SessionStatus::Active, SessionStatus::Completed, SessionStatus::Cancelled];

    pub fn as_str(self) -> &'static str {
        match self {
            SessionStatus::Active => "active",
            SessionStatus::Completed => "completed",
            SessionStatus::Cancelled => "cancelled",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

/// The current state of a session, with exact counters.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    pub id: Uuid,
    pub name: String,
    pub description: String,
    pub triggered_by: String,
    pub status: SessionStatus,
    pub total_runs: i64,
    pub succeeded_runs: i64,
    pub failed_runs: i64,
    pub cancelled_runs: i64,
    /// A JSON object, as text.
    pub context: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub closed_at: Option<DateTime<Utc>>,
}

/// A new session; already checked.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSession {
    pub name: String,
    pub description: String,
    pub triggered_by: String,
    /// A JSON object, as text.
    pub context: String,
    pub request_id: Option<String>,
}

impl NewSession {
    /// The values in which two requests with the same id must agree.
    pub fn identity(&self) -> Identity {
        // This pattern names every field, so that a new one does not compile before it has its place here.
        let NewSession { name, description, triggered_by, context, request_id: _ } = self;
        Identity::of("CreateSession")
            .with("name", [name])
            .with("description", [description])
            .with("triggered_by", [triggered_by])
            .with("context", [spelling(context)])
    }
}

/// A change of a session. Fields that are `None` stay as they are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SessionPatch {
    pub name: Option<String>,
    pub description: Option<String>,
    pub context: Option<String>,
}
