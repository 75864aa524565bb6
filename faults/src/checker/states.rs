//! A run has one sequence of states. Each revision is one state, states follow the edges of the state machine, fences
//! never fall, and no state follows a terminal one. Every client sees a part of that sequence, on any server.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::evidence::Evidence;
use super::verdict::{Proof, Violation};
use crate::history::{Event, Status, What};

#[derive(Debug, Clone, Copy)]
struct Seen<'a> {
    status: Status,
    fence: i64,
    attempt: i32,
    event: Option<&'a Event>,
}

impl Seen<'_> {
    fn says(&self) -> String {
        format!("{} (fence {}, attempt {})", self.status, self.fence, self.attempt)
    }

    fn by(&self) -> &str {
        self.event.map_or("the database", |event| &event.actor)
    }
}

/// The violations of the promise.
pub fn violations(evidence: &Evidence<'_>) -> Vec<Violation> {
    let mut sequences: BTreeMap<Uuid, BTreeMap<i64, Seen<'_>>> = BTreeMap::new();
    let mut found = Vec::new();
    let in_the_end = evidence.runs.values().map(|run| {
        let seen = Seen { status: run.status, fence: run.fence, attempt: run.attempt, event: None };
        (run.id, run.revision, seen)
    });
    let seen = evidence.events.iter().filter_map(|event| match event.what {
        What::RunSeen { run, status, revision, fence, attempt }
        | What::WatchSaw { run, revision, status, attempt, fence, .. } => {
            Some((run, revision, Seen { status, fence, attempt, event: Some(event) }))
        }
        _ => None,
    });
    for (run, revision, now) in seen.chain(in_the_end) {
        let first = sequences.entry(run).or_default().entry(revision).or_insert(now);
        if (first.status, first.fence, first.attempt) != (now.status, now.fence, now.attempt) {
            let what = format!(
                "revision {revision} of run {run} is {} for {}, and {} for {}",
                first.says(),
                first.by(),
                now.says(),
                now.by()
            );
            found.push(Violation::new(Proof::States, what, [first.event, now.event].into_iter().flatten().cloned()));
        }
    }
    for (run, sequence) in &sequences {
        found.extend(one_sequence(*run, sequence, evidence));
    }
    found.extend(seen_in_order(evidence));
    found
}

fn one_sequence(run: Uuid, sequence: &BTreeMap<i64, Seen<'_>>, evidence: &Evidence<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut broken = |what: String, lines: &[Seen<'_>]| {
        let lines = lines.iter().filter_map(|seen| seen.event).cloned();
        found.push(Violation::new(Proof::States, what, lines));
    };
    let states: Vec<(i64, Seen<'_>)> = sequence.iter().map(|(revision, seen)| (*revision, *seen)).collect();
    for pair in states.windows(2) {
        let [(before, was), (after, is)] = [pair[0], pair[1]];
        let (was_by, is_by) = (was.by(), is.by());
        if was.status.is_terminal() {
            let what = format!(
                "run {run} was {} in revision {before} ({was_by}), and {} in revision {after} ({is_by})",
                was.says(),
                is.says()
            );
            broken(what, &[was, is]);
        } else if after == before + 1 && !may_become(was.status, is.status) {
            let what = format!("run {run} went from {} to {} in revision {after}", was.says(), is.says());
            broken(what, &[was, is]);
        }
        if is.fence < was.fence {
            let what =
                format!("the fence of run {run} fell: {} by revision {before}, {} by {after}", was.fence, is.fence);
            broken(what, &[was, is]);
        }
    }
    let end = evidence.runs.get(&run).map(|run| run.revision);
    match (end, states.last()) {
        (None, Some((revision, last))) => {
            broken(
                format!("{} saw revision {revision} of run {run}, which is not in the database", last.by()),
                &[*last],
            );
        }
        (Some(end), Some((revision, last))) if *revision > end => {
            let what = format!("{} saw revision {revision} of run {run}, and it ended with {end}", last.by());
            broken(what, &[*last]);
        }
        _ => {}
    }
    found
}

/// The edges of the contract. A run may also change without a change of its status.
fn may_become(was: Status, is: Status) -> bool {
    match was {
        Status::Queued => matches!(is, Status::Queued | Status::Claimed | Status::Running | Status::Cancelled),
        Status::Claimed | Status::Running => was == is || is != Status::Claimed,
        Status::Succeeded | Status::Failed | Status::Cancelled => false,
    }
}

/// A client that asks again never gets an older state.
fn seen_in_order(evidence: &Evidence<'_>) -> Vec<Violation> {
    let mut last: BTreeMap<(&str, Uuid), (i64, &Event)> = BTreeMap::new();
    let mut found = Vec::new();
    for event in evidence.events {
        let What::RunSeen { run, revision, .. } = event.what else { continue };
        if let Some((before, earlier)) = last.insert((&event.actor, run), (revision, event))
            && revision < before
        {
            let what = format!("{} saw revision {before} of run {run}, and later {revision}", event.actor);
            found.push(Violation::new(Proof::States, what, [earlier.clone(), event.clone()]));
        }
    }
    found
}
