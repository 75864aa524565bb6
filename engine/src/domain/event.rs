//! Lines of a run's log.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::GrantKey;

/// How important an event is; ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventLevel {
    Debug,
    Info,
    Warn,
    Error,
}

impl EventLevel {
    pub const ALL: [EventLevel; 4] = [EventLevel::Debug, EventLevel::Info, EventLevel::Warn, EventLevel::Error];

    pub fn as_str(self) -> &'static str {
        match self {
            EventLevel::Debug => "debug",
            EventLevel::Info => "info",
            EventLevel::Warn => "warn",
            EventLevel::Error => "error",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == word)
    }
}

/// The position of an event in its run's log; ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct EventPosition {
    pub fence: i64,
    pub seq: i64,
}

/// A line of a run's log.
#[derive(Debug, Clone, PartialEq)]
pub struct RunEvent {
    pub id: Uuid,
    pub run_id: Uuid,
    pub position: EventPosition,
    pub created_at: DateTime<Utc>,
    pub level: EventLevel,
    pub message: String,
    /// The exact bytes, if the message only renders them.
    pub raw: Option<Vec<u8>>,
    /// A JSON object, as text.
    pub data: Option<String>,
}

/// A new event; already checked.
#[derive(Debug, Clone, PartialEq)]
pub struct EventEntry {
    pub level: EventLevel,
    pub message: String,
    pub raw: Option<Vec<u8>>,
    pub data: Option<String>,
}

/// New events of one grant, numbered from `first_seq` on.
#[derive(Debug, Clone, PartialEq)]
pub struct EventBatch {
    pub grant: GrantKey,
    pub first_seq: i64,
    pub entries: Vec<EventEntry>,
}
