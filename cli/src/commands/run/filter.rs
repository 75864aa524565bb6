//! Filters and labels of the command line, converted to the contract.

use std::collections::BTreeMap;

use proto::v1::{Lane, RunFilter, RunStatus};

use crate::args::{run::Filter, values::Label};

pub(super) fn of_contract(filter: Filter) -> RunFilter {
    RunFilter {
        session_id: filter.session.unwrap_or_default(),
        lanes: filter.lane.into_iter().map(|lane| Lane::from(lane).into()).collect(),
        statuses: filter.status.into_iter().map(|status| RunStatus::from(status).into()).collect(),
        kinds: filter.kind,
        labels: labels(filter.labels),
    }
}

pub(super) fn labels(labels: Vec<Label>) -> BTreeMap<String, String> {
    labels.into_iter().map(|label| (label.key, label.value)).collect()
}
