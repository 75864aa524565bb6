//! What a watcher asks for, and what it is sent.

use std::sync::Arc;

use uuid::Uuid;

use crate::domain::Run;
use crate::domain::filter::RunFilter;

/// A request to watch runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchRequest {
    pub filter: RunFilter,
    /// Where an earlier watch with the same filter ended.
    pub resume_token: Option<String>,
    /// Not together with a token.
    pub include_snapshot: bool,
}

/// One message to a watcher.
#[derive(Debug, Clone, PartialEq)]
pub enum WatchEvent {
    /// Some of the runs that matched at the beginning.
    Snapshot(Vec<Arc<Run>>),
    /// The snapshot is complete.
    SnapshotComplete { token: String },
    /// A run is new or has changed. This is its current state.
    Change(Arc<Run>),
    /// A run that matched the filter does not match any more.
    LeftFilter { run_id: Uuid, revision: i64 },
    /// A run was deleted.
    Deleted { run_id: Uuid },
    /// All changes up to this token were sent.
    Bookmark { token: String },
    /// The server shuts down. `None` if the watch has no token yet.
    Goodbye { token: Option<String> },
}
