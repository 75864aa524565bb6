//! Executions match grants. Each grant is executed at most once, as the attempt that is counted, within `max_attempts`. Two
//! executions of a run never overlap unless a fault explains it.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::evidence::{Evidence, Execution};
use super::verdict::{Proof, Violation};
use crate::history::{Event, FaultClass, RunRow, What};

/// The violations of the promise.
pub fn violations(evidence: &Evidence<'_>) -> Vec<Violation> {
    let mut by_run: BTreeMap<Uuid, Vec<Execution<'_>>> = BTreeMap::new();
    for execution in &evidence.executions {
        by_run.entry(execution.run).or_default().push(*execution);
    }
    let mut found = Vec::new();
    for (id, executions) in &mut by_run {
        let Some(run) = evidence.runs.get(id) else {
            let what = format!("run {id} was executed, and is not in the database");
            found.push(Violation::new(Proof::Executions, what, evidence.about(*id)));
            continue;
        };
        found.extend(executions.iter().flat_map(|execution| fits_its_grant(evidence, run, execution)));
        found.extend(overlaps(evidence, executions));
        executions.sort_by_key(|execution| execution.fence);
        found.extend(executions.windows(2).filter_map(|pair| follow(&pair[0], &pair[1])));
    }
    for run in evidence.runs.values().filter(|run| run.attempt > run.max_attempts) {
        let what = format!("run {} has {} attempts of {}", run.id, run.attempt, run.max_attempts);
        found.push(Violation::new(Proof::Executions, what, evidence.about(run.id)));
    }
    found
}

fn fits_its_grant(evidence: &Evidence<'_>, run: &RunRow, execution: &Execution<'_>) -> Vec<Violation> {
    let Execution { fence, attempt, key, .. } = *execution;
    let (id, actor) = (run.id, &execution.began.actor);
    let mut found = Vec::new();
    let mut broken = |what: String| found.push(Violation::new(Proof::Executions, what, evidence.about(id)));
    if run.labels.get("key").map(String::as_str) != Some(key) {
        broken(format!("{actor} executed run {id} as {key}, and it is {:?}", run.labels));
    }
    if !(1..=run.max_attempts).contains(&attempt) {
        broken(format!("{actor} executed attempt {attempt} of {} of run {id}, fence {fence}", run.max_attempts));
    }
    let counted = if fence == run.fence {
        Some((run.attempt, counted_surely(run)))
    } else {
        // The attempt was surely counted: a worker reported it, or recovery ended a running run with an error.
        let grant = evidence.grants.get(&(id, fence));
        grant.map(|grant| (grant.attempt, grant.outcome_source == "worker" || grant.error.is_some()))
    };
    match counted {
        _ if fence > run.fence => {
            broken(format!("{actor} executed run {id}, fence {fence}, and the last grant was {}", run.fence));
        }
        None => broken(format!("{actor} executed run {id}, fence {fence}, and nothing is kept of that grant")),
        // A start that was lost before it was recorded is not counted.
        Some((counted, surely)) if counted != attempt && (surely || counted != attempt - 1) => {
            broken(format!("{actor} executed run {id}, fence {fence} as attempt {attempt}, and counted is {counted}"));
        }
        Some(_) => {}
    }
    found
}

/// Whether the attempt of the last grant was surely counted when the run ended.
fn counted_surely(run: &RunRow) -> bool {
    matches!(run.outcome_source.as_deref(), Some("worker" | "recovery"))
}

/// Two executions of one run, in the order of their fences.
fn follow(first: &Execution<'_>, second: &Execution<'_>) -> Option<Violation> {
    let run = first.run;
    let what = if first.fence == second.fence {
        format!(
            "run {run}, fence {} was executed twice, by {} and {}",
            first.fence, first.began.actor, second.began.actor
        )
    } else if second.attempt < first.attempt {
        format!(
            "run {run} was executed as attempt {} with fence {}, and as attempt {} with fence {}",
            first.attempt, first.fence, second.attempt, second.fence
        )
    } else {
        return None;
    };
    Some(Violation::new(Proof::Executions, what, [first.began.clone(), second.began.clone()]))
}

/// How long after its end a fault may explain a lost lease: a worker has to find a server, and leases that begin anew
/// at the end of an outage expire after it.
const AFTERMATH_US: i64 = 15_000_000;

fn overlaps(evidence: &Evidence<'_>, executions: &[Execution<'_>]) -> Vec<Violation> {
    let mut found = Vec::new();
    for (index, first) in executions.iter().enumerate() {
        // An execution without an end may have been killed or stopped.
        let Some(ended) = first.ended else { continue };
        for second in executions[index + 1..].iter().filter(|second| second.fence != first.fence) {
            let both = second.began.at_us < ended.at_us;
            if both && !explained(evidence, first.began, second.began.at_us) {
                let what = format!(
                    "run {} was executed by {} (fence {}) and {} (fence {}) at a time, and nothing had been done to anybody",
                    first.run, first.began.actor, first.fence, second.began.actor, second.fence
                );
                found.push(Violation::new(
                    Proof::Executions,
                    what,
                    [first.began, second.began, ended].map(Event::clone),
                ));
            }
        }
    }
    found
}

/// Whether a fault that can cost the first of two executions its lease lasted until the second began.
fn explained(evidence: &Evidence<'_>, first: &Event, until_us: i64) -> bool {
    let mut open: BTreeMap<(FaultClass, &str), i64> = BTreeMap::new();
    for event in evidence.events.iter().take_while(|event| event.at_us <= until_us) {
        match &event.what {
            What::FaultBegan { fault, target, .. } if costs_leases(*fault, target, &first.actor) => {
                open.insert((*fault, target), i64::MAX);
            }
            What::FaultEnded { fault, target } => {
                open.entry((*fault, target)).and_modify(|until| *until = event.at_us + AFTERMATH_US);
            }
            _ => {}
        }
    }
    open.values().any(|until| *until >= first.at_us)
}

/// A fault of one worker costs no other worker its leases.
fn costs_leases(fault: FaultClass, target: &str, worker: &str) -> bool {
    match fault {
        FaultClass::ClientCut => false,
        FaultClass::WorkerKilled | FaultClass::WorkerStopped | FaultClass::WorkerTerminated | FaultClass::WorkerCut => {
            target == worker
        }
        _ => true,
    }
}
