//! Filters of runs.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::domain::{Lane, Run, RunStatus};

/// A run matches if all conditions hold. An empty condition always holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct RunFilter {
    pub session_id: Option<Uuid>,
    pub lanes: BTreeSet<Lane>,
    pub statuses: BTreeSet<RunStatus>,
    pub kinds: BTreeSet<String>,
    pub labels: BTreeMap<String, String>,
}

impl RunFilter {
    /// Whether a run matches apart from its status. Only the status can change while the run lives.
    pub fn concerns(&self, run: &Run) -> bool {
        self.session_id.is_none_or(|id| id == run.spec.session_id)
            && (self.lanes.is_empty() || self.lanes.contains(&run.spec.lane))
            && (self.kinds.is_empty() || self.kinds.contains(&run.spec.kind))
            && self.labels.iter().all(|(key, value)| run.spec.labels.get(key) == Some(value))
    }

    /// Whether a run matches now.
    pub fn matches(&self, run: &Run) -> bool {
        self.concerns(run) && (self.statuses.is_empty() || self.statuses.contains(&run.status))
    }
}
