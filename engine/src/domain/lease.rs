//! The name of a grant.

use uuid::Uuid;

/// One giving of a run to a worker: the run, and the fence that guards each write about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lease {
    pub run_id: Uuid,
    pub fence: i64,
}
