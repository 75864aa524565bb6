//! Executions and their grants.

use super::*;

fn began(run: Uuid, fence: i64, attempt: i32, key: &str) -> What {
    What::ExecutionBegan { run, fence, attempt, key: key.into() }
}

fn in_its_time(run: Uuid) -> impl Fn(&What) -> bool {
    move |what| matches!(what, What::ExecutionBegan { run: it, .. } if *it == run)
}

#[test]
fn a_grant_that_was_executed_twice() {
    let breaking = |folder: &mut Folder| insert_after(folder, in_its_time(LOST), "w3-1", began(LOST, 1, 1, "lost"));
    finds(breaking, &[(Proof::Executions, "fence 1 was executed twice, by w2-1 and w3-1")]);
}

#[test]
fn an_attempt_that_is_not_the_counted_one() {
    let breaking = |folder: &mut Folder| {
        run(folder, LOST).attempt = 0;
        remove(folder, |what| matches!(what, What::WatchSaw { run: LOST, .. }));
        insert_late(folder, "all", saw(LOST, 4, Status::Failed, 1, 0));
    };
    finds(breaking, &[(Proof::Executions, "as attempt 1, and counted is 0")]);
    finds(|folder| folder.end.grants[0].attempt = 2, &[(Proof::Executions, "as attempt 1, and counted is 2")]);
}

#[test]
fn a_start_that_was_never_recorded_is_not_counted() {
    let breaking = |folder: &mut Folder| {
        let grant = &mut folder.end.grants[0];
        (grant.attempt, grant.error, grant.outcome_source) = (0, None, "recovery".into());
        remove(folder, |what| matches!(what, What::ReportAnswered { token, .. } if token == "t1"));
    };
    finds(breaking, &[]);
}

#[test]
fn more_attempts_than_allowed() {
    let breaking = |folder: &mut Folder| {
        change(folder, |what| {
            if let What::ExecutionBegan { run: LOST, attempt, .. } = what {
                *attempt = 2;
            }
        });
        run(folder, LOST).attempt = 2;
    };
    let found = found(breaking);
    assert!(found.iter().any(|(_, what)| what.contains("executed attempt 2 of 1")), "{found:#?}");
    assert!(found.iter().any(|(_, what)| what.contains("has 2 attempts of 1")), "{found:#?}");
}

#[test]
fn a_grant_that_was_executed_and_then_given_back_as_not_begun() {
    let breaking = |folder: &mut Folder| {
        folder.end.grants.clear();
        remove(folder, |what| matches!(what, What::ReportAnswered { token, .. } if token == "t1"));
    };
    finds(breaking, &[(Proof::Executions, "fence 1, and nothing is kept of that grant")]);
}

#[test]
fn an_execution_of_a_grant_that_was_never_given() {
    let breaking = |folder: &mut Folder| insert_after(folder, in_its_time(LOST), "w3-1", began(LOST, 9, 1, "lost"));
    finds(breaking, &[(Proof::Executions, "fence 9, and the last grant was 1")]);
}

#[test]
fn an_execution_with_the_params_of_another_run() {
    let breaking = |folder: &mut Folder| {
        change(folder, |what| {
            if let What::ExecutionBegan { run: LOST, key, .. } = what {
                *key = "twice".into();
            }
        });
    };
    finds(breaking, &[(Proof::Executions, "as twice, and it is")]);
}

/// The first attempt ends only after the second has begun.
fn overlap(folder: &mut Folder) {
    let index =
        folder.events.iter().position(|it| matches!(&it.what, What::ExecutionEnded { token, .. } if token == "t1"));
    let mut late = folder.events.remove(index.unwrap());
    let second = |it: &Event| matches!(it.what, What::ExecutionBegan { run: TWICE, fence: 2, .. });
    let index = folder.events.iter().position(second).unwrap();
    late.at_us = folder.events[index].at_us + 1;
    folder.events.insert(index + 1, late);
}

#[test]
fn two_executions_at_a_time_without_a_fault() {
    finds(overlap, &[(Proof::Executions, "by w1-1 (fence 1) and w2-1 (fence 2) at a time")]);
}

#[test]
fn two_executions_at_a_time_after_a_fault_that_costs_leases() {
    let began = |fault| What::FaultBegan { fault, target: "w1-1".into(), detail: String::new() };
    let excused = |folder: &mut Folder| {
        overlap(folder);
        insert_after(folder, in_its_time(TWICE), "lab", began(FaultClass::WorkerStopped));
    };
    finds(excused, &[]);
    let not_excused = |folder: &mut Folder| {
        overlap(folder);
        insert_after(folder, in_its_time(TWICE), "lab", began(FaultClass::ClientCut));
    };
    finds(not_excused, &[(Proof::Executions, "at a time")]);
}
