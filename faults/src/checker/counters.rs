//! The counters of a session match its runs in the end, and are plausible whenever a client reads them.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::evidence::Evidence;
use super::verdict::{Proof, Violation};
use crate::history::{Counters, Event, RunRow, Status, What};

/// The violations of the promise.
pub fn violations(evidence: &Evidence<'_>) -> Vec<Violation> {
    let mut found = at_the_end(evidence);
    found.extend(as_seen(evidence));
    found
}

fn at_the_end(evidence: &Evidence<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for (id, session) in &evidence.sessions {
        let count = |wanted: &dyn Fn(&RunRow) -> bool| -> i64 {
            let runs = evidence.runs.values().filter(|run| run.session == *id && wanted(run));
            i64::try_from(runs.count()).unwrap_or(i64::MAX)
        };
        let expected = [
            ("total", session.total, count(&|_| true)),
            ("succeeded", session.succeeded, count(&|run| run.status == Status::Succeeded)),
            ("failed", session.failed, count(&|run| run.status == Status::Failed)),
            ("cancelled", session.cancelled, count(&|run| run.status == Status::Cancelled)),
        ];
        for (name, counted, true_count) in expected {
            if counted != true_count {
                let what = format!("session {id} counts {name} {counted}, and has {true_count} such runs");
                found.push(Violation::new(Proof::Counters, what, []));
            }
        }
    }
    found
}

/// The parts never exceed the total, and no counter falls. Two clients may get their answers in either order, so each
/// client is compared only with itself.
fn as_seen(evidence: &Evidence<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut last: BTreeMap<(&str, Uuid), (Counters, &Event)> = BTreeMap::new();
    for event in evidence.events {
        let What::CountersSeen { session, counters: now } = event.what else { continue };
        let parts = now.succeeded + now.failed + now.cancelled;
        let least = [now.succeeded, now.failed, now.cancelled].into_iter().min();
        if parts > now.total || least.is_some_and(|least| least < 0) {
            let what = format!("session {session} is seen with a total of {} and parts that make {parts}", now.total);
            found.push(Violation::new(Proof::Counters, what, [event.clone()]));
        }
        if let Some((before, earlier)) = last.insert((&event.actor, session), (now, event)) {
            let never_fall = [
                ("total", before.total, now.total),
                ("succeeded", before.succeeded, now.succeeded),
                ("failed", before.failed, now.failed),
                ("cancelled", before.cancelled, now.cancelled),
            ];
            for (name, was, is) in never_fall.into_iter().filter(|(_, was, is)| is < was) {
                let what = format!("session {session} is seen with {name} {was}, and later with {is}");
                found.push(Violation::new(Proof::Counters, what, [earlier.clone(), event.clone()]));
            }
        }
    }
    found
}
