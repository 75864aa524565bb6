//! Runs that do not end, and forgotten cancels.

use super::*;

#[test]
fn a_run_that_does_not_end() {
    let breaking = |folder: &mut Folder| {
        let run = run(folder, LOST);
        (run.status, run.outcome_source) = (Status::Running, None);
        folder.end.sessions[0].failed = 0;
        change(folder, |what| {
            if let What::WatchSaw { run: LOST, status, .. } = what {
                *status = Status::Running;
            }
        });
    };
    finds(breaking, &[(Proof::Liveness, "has not ended: it is running")]);
}

#[test]
fn an_end_that_came_too_late() {
    let breaking = |folder: &mut Folder| {
        change(folder, |what| {
            if let What::Settled { in_time } = what {
                *in_time = false;
            }
        });
    };
    finds(breaking, &[(Proof::Liveness, "not everything had settled in time")]);
}

#[test]
fn a_cancel_that_was_answered_and_forgotten() {
    let breaking = |folder: &mut Folder| run(folder, CANCELLED).cancel_requested = false;
    finds(breaking, &[(Proof::Liveness, "was never asked to stop")]);
    let breaking = |folder: &mut Folder| {
        insert_late(folder, "c1", What::CancelAnswered { run: TWICE, status: Status::Cancelled });
    };
    finds(breaking, &[(Proof::Liveness, "answered with cancelled, and the run is succeeded")]);
}

#[test]
fn a_session_that_completed_too_early() {
    let breaking = |folder: &mut Folder| {
        folder.end.sessions[0].status = "completed".into();
        let run = run(folder, PARKED);
        (run.status, run.outcome_source) = (Status::Queued, None);
    };
    let found = found(breaking);
    assert!(found.iter().any(|(_, what)| what.contains("is completed, and 1 of its runs have not ended")));
}
