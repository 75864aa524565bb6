//! A grant: one giving of a run to a worker.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Names a grant: the run, and the fence that guards each write about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GrantKey {
    pub run_id: Uuid,
    pub fence: i64,
}

/// The last grant of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    pub worker_id: Uuid,
    pub worker_name: String,
    pub claimed_at: DateTime<Utc>,
    /// When the worker started the run; `None` before, and after the run is queued again.
    pub started_at: Option<DateTime<Utc>>,
    pub heartbeat_at: DateTime<Utc>,
}
