//! What a watcher asks for, and what it is told.

use std::sync::Arc;

use uuid::Uuid;

use crate::domain::Run;
use crate::domain::filter::RunFilter;

/// What to watch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchRequest {
    pub filter: RunFilter,
    /// Where an earlier watch with the same filter left off.
    pub resume_token: Option<String>,
    /// Not together with a token.
    pub include_snapshot: bool,
}

/// One message to a watcher.
#[derive(Debug, Clone, PartialEq)]
pub enum WatchEvent {
    /// Some of the runs that matched at the beginning.
    Snapshot(Vec<Arc<Run>>),
    /// All of them were sent.
    SnapshotComplete { token: String },
    /// A run is new or has changed: as it is now.
    Change(Arc<Run>),
    /// A run that matched does not any more.
    LeftFilter { run_id: Uuid, revision: i64 },
    /// A run was deleted.
    Deleted { run_id: Uuid },
    /// Everything up to here was sent.
    Bookmark { token: String },
    /// The server shuts down; `None` if nothing was reached yet.
    Goodbye { token: Option<String> },
}
