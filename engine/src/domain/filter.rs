//! Filters of runs.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::domain::{Identity, Lane, Run, RunStatus};

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

    /// Adds the conditions to the identity of a call that names this filter.
    pub fn identify(&self, identity: Identity) -> Identity {
        // This pattern names every field, so that a new one does not compile before it has its place here.
        let RunFilter { session_id, lanes, statuses, kinds, labels } = self;
        identity
            .with("session_id", session_id.map(|id| id.to_string()))
            .with_set("lanes", lanes.iter().map(|lane| lane.as_str()))
            .with_set("statuses", statuses.iter().map(|status| status.as_str()))
            .with_set("kinds", kinds)
            .with("labels", labels.iter().flat_map(|(key, value)| [key, value]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(filter: &RunFilter) -> String {
        filter.identify(Identity::of("M")).hex()
    }

    #[test]
    fn the_identity_of_a_filter_stays_the_same() {
        let filter = RunFilter {
            session_id: Some(Uuid::from_u128(1)),
            lanes: [Lane::B, Lane::A].into(),
            statuses: [RunStatus::Queued, RunStatus::Running].into(),
            kinds: ["k".to_owned()].into(),
            labels: [("key".to_owned(), "value".to_owned())].into(),
        };
        assert_eq!(hex(&filter), "bfcfd3c30412b776f5d569863a4b982c0f18714f36a195d2cdfc317e3904d29c");
        assert_eq!(hex(&RunFilter::default()), "93f083126b099afde1932411ad32ec3bbe0504cc7b96ca7796414880eeac1ed5");
    }

    #[test]
    fn filters_differ_in_each_condition() {
        let first = RunFilter::default();
        let others = [
            RunFilter { session_id: Some(Uuid::from_u128(1)), ..first.clone() },
            RunFilter { lanes: [Lane::A].into(), ..first.clone() },
            RunFilter { statuses: [RunStatus::Queued].into(), ..first.clone() },
            RunFilter { kinds: ["k".to_owned()].into(), ..first.clone() },
            RunFilter { labels: [("k".to_owned(), "v".to_owned())].into(), ..first.clone() },
        ];
        for other in others {
            assert_ne!(hex(&other), hex(&first), "{other:?}");
        }
    }
}
