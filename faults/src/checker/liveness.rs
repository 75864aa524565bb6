//! Everything ends once the faults are over, and answered cancels take effect.

use super::evidence::Evidence;
use super::verdict::{Proof, Violation};
use crate::history::{RunRow, Status, What};

/// The violations of the promise.
pub fn violations(evidence: &Evidence<'_>) -> Vec<Violation> {
    let mut found = not_ended(evidence);
    found.extend(cancels(evidence));
    found.extend(sessions(evidence));
    found
}

fn not_ended(evidence: &Evidence<'_>) -> Vec<Violation> {
    let waiting = evidence.runs.values().filter(|run| !run.status.is_terminal());
    let mut found: Vec<Violation> = waiting
        .map(|run| {
            let RunRow { id, status, fence, attempt, .. } = run;
            let what = format!(
                "run {id} has not ended: it is {status} ({}), fence {fence}, attempt {attempt}, held by {:?}",
                run.wait_reason.as_deref().unwrap_or("nothing to wait for"),
                run.claimed_by
            );
            Violation::new(Proof::Liveness, what, evidence.about(*id))
        })
        .collect();
    let late = evidence.first(|what| matches!(what, What::Settled { in_time: false }));
    if let Some(late) = late.filter(|_| found.is_empty()) {
        let what = "not everything had settled in time".to_owned();
        found.push(Violation::new(Proof::Liveness, what, [late.clone()]));
    }
    found
}

/// An answered cancel takes effect, and a terminal status in its answer is final.
fn cancels(evidence: &Evidence<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for event in evidence.events {
        let What::CancelAnswered { run: id, status } = event.what else { continue };
        let Some(run) = evidence.runs.get(&id) else { continue };
        let stands = match status {
            Status::Succeeded | Status::Failed | Status::Cancelled => run.status == status,
            Status::Queued | Status::Claimed | Status::Running => run.cancel_requested && run.status != Status::Failed,
        };
        if !stands {
            let asked = if run.cancel_requested { "was asked to stop" } else { "was never asked to stop" };
            let what =
                format!("a cancel of run {id} was answered with {status}, and the run is {} and {asked}", run.status);
            found.push(Violation::new(Proof::Liveness, what, evidence.about(id)));
        }
    }
    found
}

/// A session completes only after all its runs have ended.
fn sessions(evidence: &Evidence<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for session in evidence.sessions.values().filter(|session| session.status == "completed") {
        let open = evidence.runs.values().filter(|run| run.session == session.id && !run.status.is_terminal()).count();
        if open > 0 {
            let what = format!("session {} is completed, and {open} of its runs have not ended", session.id);
            found.push(Violation::new(Proof::Liveness, what, []));
        }
    }
    found
}
