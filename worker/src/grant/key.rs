//! The name of a grant.

use std::fmt;

use uuid::Uuid;

/// Names a grant: one giving of a run to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct GrantKey {
    pub(crate) run_id: Uuid,
    pub(crate) fence: i64,
}

impl fmt::Display for GrantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.run_id, self.fence)
    }
}
