//! At most one result a grant is accepted, and the stored result of a run is from an execution of the grant that ended
//! it.

use std::collections::BTreeMap;

use serde_json::Value;
use uuid::Uuid;

use super::evidence::Evidence;
use super::verdict::{Proof, Violation};
use crate::history::{Event, Outcome, RunRow, Status, Verdict, What, token_of};

/// The violations of the promise.
pub fn violations(evidence: &Evidence<'_>) -> Vec<Violation> {
    let mut found = accepted_once(evidence);
    found.extend(accepted_is_kept(evidence));
    found.extend(evidence.runs.values().flat_map(|run| kept_of_run(evidence, run)));
    found.extend(kept_of_grants(evidence));
    found
}

struct Accepted<'a> {
    run: Uuid,
    fence: i64,
    token: &'a str,
    event: &'a Event,
}

fn accepted<'a>(evidence: &Evidence<'a>) -> impl Iterator<Item = Accepted<'a>> {
    evidence.events.iter().filter_map(|event| match &event.what {
        What::ReportAnswered { run, fence, token, verdict: Verdict::Accepted } => {
            Some(Accepted { run: *run, fence: *fence, token, event })
        }
        _ => None,
    })
}

fn accepted_once(evidence: &Evidence<'_>) -> Vec<Violation> {
    let mut first: BTreeMap<(Uuid, i64), Accepted<'_>> = BTreeMap::new();
    let mut found = Vec::new();
    for now in accepted(evidence) {
        if let Some(before) = first.get(&(now.run, now.fence)) {
            if before.token != now.token {
                let what = format!(
                    "two results of run {}, fence {} were accepted: {} and {}",
                    now.run, now.fence, before.token, now.token
                );
                found.push(Violation::new(Proof::Results, what, [before.event.clone(), now.event.clone()]));
            }
        } else {
            first.insert((now.run, now.fence), now);
        }
    }
    found
}

/// An accepted result is stored: with the run, or with an earlier grant of it.
fn accepted_is_kept(evidence: &Evidence<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for Accepted { run: id, fence, token, .. } in accepted(evidence) {
        let mut broken = |what: String| found.push(Violation::new(Proof::Results, what, evidence.about(id)));
        let Some(run) = evidence.runs.get(&id) else {
            broken(format!("a result of run {id}, fence {fence} was accepted, and the run is not in the database"));
            continue;
        };
        let (kept, place) = if run.outcome_source.as_deref() == Some("worker") && run.fence == fence {
            (outcome(run).and_then(token_of), "the run")
        } else if let Some(grant) = evidence.grants.get(&(id, fence)).filter(|grant| grant.outcome_source == "worker") {
            (grant.error.as_ref().and_then(token_of), "the grant")
        } else {
            broken(format!(
                "the result {token} of run {id}, fence {fence} was accepted; the run is {} with fence {} by {}, and \
                 nothing is kept of that grant",
                run.status,
                run.fence,
                run.outcome_source.as_deref().unwrap_or("nobody")
            ));
            continue;
        };
        // An outcome without a text of the handler has no token.
        if kept.is_some_and(|kept| kept != token) {
            broken(format!("the result {token} of run {id}, fence {fence} was accepted, and {place} keeps {kept:?}"));
        }
    }
    found
}

fn outcome(run: &RunRow) -> Option<&Value> {
    run.result.as_ref().or(run.error.as_ref())
}

/// The stored outcome of a run names an execution of its last grant.
fn kept_of_run(evidence: &Evidence<'_>, run: &RunRow) -> Vec<Violation> {
    let RunRow { id, fence, status, .. } = run;
    let mut found = Vec::new();
    let mut broken = |what: String| found.push(Violation::new(Proof::Results, what, evidence.about(*id)));
    if *status == Status::Succeeded && run.outcome_source.as_deref() != Some("worker") {
        broken(format!("run {id}, fence {fence} succeeded by the word of {:?}", run.outcome_source));
    }
    if *status != Status::Succeeded && run.result.is_some() {
        broken(format!("run {id}, fence {fence} is {status}, and has the result {:?}", run.result));
    }
    if run.outcome_source.as_deref() != Some("worker") {
        return found;
    }
    match outcome(run).and_then(token_of) {
        // The error may be of the worker runtime, for a handler that ran out of time or was stopped.
        None if *status != Status::Succeeded => {}
        None => broken(format!(
            "run {id}, fence {fence} succeeded with a result that no execution reported: {:?}",
            run.result
        )),
        Some(token) => match evidence.ends.get(token) {
            None => broken(format!("run {id}, fence {fence} keeps {token}, and no execution ended with that")),
            Some(end) if (end.run, end.fence) != (*id, *fence) => broken(format!(
                "run {id} was ended by fence {fence}, and keeps {token}, which {} reported for run {}, fence {}",
                end.event.actor, end.run, end.fence
            )),
            Some(end) if !may_lead_to(end.outcome, *status) => broken(format!(
                "run {id}, fence {fence} is {status}, and {} ended it with {:?}",
                end.event.actor, end.outcome
            )),
            Some(_) => {}
        },
    }
    found
}

/// Whether this outcome can lead to this status. A failure after a cancel confirms the cancel.
fn may_lead_to(outcome: Outcome, status: Status) -> bool {
    match outcome {
        Outcome::Succeeded => status == Status::Succeeded,
        Outcome::Failed | Outcome::Retry => matches!(status, Status::Failed | Status::Cancelled),
        Outcome::Cancelled | Outcome::Snoozed => status == Status::Cancelled,
    }
}

fn kept_of_grants(evidence: &Evidence<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for ((id, fence), grant) in &evidence.grants {
        let mut broken = |what: String| found.push(Violation::new(Proof::Results, what, evidence.about(*id)));
        if let Some(run) = evidence.runs.get(id)
            && run.fence < *fence
        {
            broken(format!("run {id} has fence {}, and its grant {fence} has ended", run.fence));
        }
        let token = grant.error.as_ref().and_then(token_of);
        if let Some((token, end)) = token.and_then(|token| Some((token, evidence.ends.get(token)?)))
            && (end.run, end.fence) != (*id, *fence)
        {
            broken(format!(
                "the grant of run {id}, fence {fence} keeps {token}, which {} reported for run {}, fence {}",
                end.event.actor, end.run, end.fence
            ));
        }
    }
    found
}
