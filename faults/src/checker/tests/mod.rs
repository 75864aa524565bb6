//! Each promise is checked. The good history has no violation, and one broken thing in it is found.

use serde_json::json;
use uuid::Uuid;

use super::example::{CANCELLED, LOST, PARKED, SESSION, TWICE, counters, good, saw, sql};
use super::{Proof, judge};
use crate::history::{Event, FaultClass, Folder, Outcome, RunRow, Status, Verdict, What};

mod acknowledged;
mod counted;
mod executions;
mod liveness;
mod results;
mod sequences;
mod states;
mod watching;

/// The violations after this change of the good history.
fn found(breaking: impl FnOnce(&mut Folder)) -> Vec<(Proof, String)> {
    let mut folder = good();
    breaking(&mut folder);
    let mut found: Vec<_> = judge(&folder).violations.into_iter().map(|it| (it.proof, it.what)).collect();
    found.sort();
    found
}

/// Asserts that exactly these violations are found, each with these words.
#[track_caller]
fn finds(breaking: impl FnOnce(&mut Folder), expected: &[(Proof, &str)]) {
    let found = found(breaking);
    let fits = found.len() == expected.len()
        && expected.iter().all(|(proof, words)| found.iter().any(|(it, what)| it == proof && what.contains(words)));
    assert!(fits, "expected {expected:#?}, found {found:#?}");
}

fn run(folder: &mut Folder, id: Uuid) -> &mut RunRow {
    folder.end.runs.iter_mut().find(|run| run.id == id).unwrap()
}

/// Inserts events after the first one that fits.
fn insert_after(folder: &mut Folder, wanted: impl Fn(&What) -> bool, actor: &str, what: What) {
    let index = folder.events.iter().position(|event| wanted(&event.what)).unwrap();
    let at_us = folder.events[index].at_us + 1;
    folder.events.insert(index + 1, Event { at_us, actor: actor.into(), what });
}

/// Inserts events before the history settles.
fn insert_late(folder: &mut Folder, actor: &str, what: What) {
    insert_after(folder, |what| matches!(what, What::WatchBookmark { .. }), actor, what);
}

fn change(folder: &mut Folder, mut change: impl FnMut(&mut What)) {
    folder.events.iter_mut().for_each(|event| change(&mut event.what));
}

fn remove(folder: &mut Folder, unwanted: impl Fn(&What) -> bool) {
    let before = folder.events.len();
    folder.events.retain(|event| !unwanted(&event.what));
    assert!(folder.events.len() < before, "there is something to remove");
}

#[test]
fn a_good_history_has_no_violation() {
    finds(|_| {}, &[]);
}

#[test]
fn a_history_that_says_too_little_proves_nothing() {
    type Missing = (&'static str, fn(&What) -> bool);
    let breaks: [Missing; 2] = [
        ("no watcher settled", |what| matches!(what, What::WatchSettled { .. })),
        ("the faults were never over", |what| matches!(what, What::Quiet)),
    ];
    for (words, unwanted) in breaks {
        finds(|folder| remove(folder, unwanted), &[(Proof::Whole, words)]);
    }
}

#[test]
fn an_unsettled_run_is_judged_only_by_its_acknowledgements_and_its_liveness() {
    let breaking = |folder: &mut Folder| {
        change(folder, |what| {
            if let What::Settled { in_time } = what {
                *in_time = false;
            }
        });
        // Seen after the final state was read.
        insert_late(folder, "all", saw(TWICE, 8, Status::Succeeded, 2, 2));
        folder.end.sessions.clear();
    };
    finds(
        breaking,
        &[(Proof::Acknowledged, "session 00000000-"), (Proof::Liveness, "not everything had settled in time")],
    );
}
