//! Watchers miss no change. In the end each watcher knows each run of its filter as the database has it, and no watcher
//! ever sees a run go backwards.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::evidence::Evidence;
use super::verdict::{Proof, Violation};
use crate::history::{Event, Filter, RunRow, Status, What};

/// The knowledge of one watcher.
#[derive(Debug, Default)]
struct Watcher<'a> {
    filter: Filter,
    /// The last state that it saw of each run in its filter.
    present: BTreeMap<Uuid, (i64, Status, &'a Event)>,
    /// The newest revision of each run that it saw, over all its streams.
    newest: BTreeMap<Uuid, (i64, &'a Event)>,
    /// Since when it has a stream; none without one.
    open_since: Option<i64>,
}

/// The violations of the promise.
pub fn violations(evidence: &Evidence<'_>) -> Vec<Violation> {
    let mut watchers: BTreeMap<&str, Watcher<'_>> = BTreeMap::new();
    let mut committed: BTreeMap<Uuid, i64> = BTreeMap::new();
    let mut found = Vec::new();
    for event in evidence.events {
        match &event.what {
            What::WatchOpened { watcher, filter, resumed } => {
                let watcher = watchers.entry(watcher).or_default();
                watcher.filter = filter.clone();
                watcher.open_since = Some(event.at_us);
                if !resumed {
                    // A run may have left the filter unseen, so the snapshot replaces the knowledge.
                    watcher.present.clear();
                }
            }
            What::WatchLost { watcher, .. } => watchers.entry(watcher).or_default().open_since = None,
            What::WatchSaw { watcher, run, revision, status, .. } => {
                let name = watcher;
                let watcher = watchers.entry(watcher).or_default();
                watcher.present.insert(*run, (*revision, *status, event));
                if let Some((before, earlier)) = watcher.newest.insert(*run, (*revision, event))
                    && *revision < before
                {
                    let what = format!("{name} saw revision {before} of run {run}, and later {revision}");
                    found.push(Violation::new(Proof::Watching, what, [earlier.clone(), event.clone()]));
                }
            }
            What::WatchLeftFilter { watcher, run } => {
                watchers.entry(watcher).or_default().present.remove(run);
            }
            What::WatchDeleted { watcher, run } => {
                watchers.entry(watcher).or_default().present.remove(run);
                if evidence.runs.contains_key(run) {
                    let what = format!("{watcher} saw that run {run} was deleted, and it is in the database");
                    found.push(Violation::new(Proof::Watching, what, [event.clone()]));
                }
            }
            What::SqlEnqueued { id: Some(id), committed: Some(true), .. } => {
                committed.insert(*id, event.at_us);
            }
            What::WatchDue { run } => {
                let since = committed.get(run).copied().unwrap_or(i64::MAX);
                found.extend(watchers.iter().filter_map(|(name, it)| overdue(evidence, name, it, *run, since, event)));
            }
            What::WatchSettled { watcher } => {
                let it = watchers.entry(watcher).or_default();
                found.extend(evidence.runs.values().filter_map(|run| unsettled(evidence, watcher, it, run)));
            }
            _ => {}
        }
    }
    found
}

/// Whether a run is in a filter.
fn matches(filter: &Filter, run: &RunRow) -> bool {
    let named = |names: &[String], name: &String| names.is_empty() || names.contains(name);
    filter.session.is_none_or(|session| session == run.session)
        && named(&filter.lanes, &run.lane)
        && named(&filter.kinds, &run.kind)
        && (filter.statuses.is_empty() || filter.statuses.contains(&run.status))
}

/// The violation if a watcher with a stream does not know a run that was committed long ago and has not changed since.
fn overdue(
    evidence: &Evidence<'_>,
    name: &str,
    watcher: &Watcher<'_>,
    id: Uuid,
    since_us: i64,
    due: &Event,
) -> Option<Violation> {
    let followed = watcher.open_since.is_some_and(|open| open < since_us);
    let run = evidence.runs.get(&id)?;
    let wanted = matches(&Filter { statuses: Vec::new(), ..watcher.filter.clone() }, run);
    let by_status = !watcher.filter.statuses.is_empty();
    if !followed || !wanted || by_status || watcher.newest.contains_key(&id) {
        return None;
    }
    let what = format!("{name} followed while run {id} was committed, and never saw it");
    let mut lines = evidence.about(id);
    lines.retain(|event| event.at_us <= due.at_us);
    Some(Violation::new(Proof::Watching, what, lines))
}

/// The violation if a settled watcher knows another state of a run than the database has.
fn unsettled(evidence: &Evidence<'_>, name: &str, watcher: &Watcher<'_>, run: &RunRow) -> Option<Violation> {
    let RunRow { id, status, revision, .. } = run;
    let what = match (watcher.present.get(id), matches(&watcher.filter, run)) {
        (None, true) => format!("{name} never saw that run {id} is {status} (revision {revision})"),
        (Some((seen, seen_status, _)), true) if (seen, seen_status) != (revision, status) => {
            format!(
                "{name} last saw that run {id} is {seen_status} (revision {seen}); it is {status} (revision {revision})"
            )
        }
        (Some((seen, seen_status, _)), false) => {
            format!("{name} saw that run {id} is {seen_status} (revision {seen}), and never that it left the filter")
        }
        _ => return None,
    };
    Some(Violation::new(Proof::Watching, what, evidence.about(*id)))
}
