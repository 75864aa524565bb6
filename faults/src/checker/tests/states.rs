//! The sequence of states of a run.

use super::*;

fn seen(run: Uuid, revision: i64, status: Status, fence: i64, attempt: i32) -> What {
    What::RunSeen { run, status, revision, fence, attempt }
}

#[test]
fn one_revision_with_two_states() {
    let breaking = |folder: &mut Folder| insert_late(folder, "c3", seen(TWICE, 3, Status::Queued, 1, 1));
    finds(breaking, &[(Proof::States, "revision 3 of run")]);
}

#[test]
fn a_change_after_a_terminal_state() {
    let breaking = |folder: &mut Folder| insert_late(folder, "c3", seen(LOST, 3, Status::Failed, 1, 1));
    finds(breaking, &[(Proof::States, "was failed (fence 1, attempt 1) in revision 3")]);
}

#[test]
fn an_edge_that_the_state_machine_does_not_have() {
    let breaking = |folder: &mut Folder| insert_late(folder, "c3", seen(TWICE, 4, Status::Claimed, 1, 1));
    finds(breaking, &[(Proof::States, "from running (fence 1, attempt 1) to claimed")]);
}

#[test]
fn a_fence_that_fell() {
    let breaking = |folder: &mut Folder| insert_late(folder, "c3", seen(TWICE, 5, Status::Queued, 0, 1));
    finds(breaking, &[(Proof::States, "the fence of run")]);
}

#[test]
fn a_state_that_was_seen_and_lost() {
    let breaking = |folder: &mut Folder| run(folder, PARKED).revision = 1;
    let found = found(breaking);
    assert!(found.iter().any(|(_, what)| what.contains("saw revision 2 of run") && what.contains("ended with 1")));
}

#[test]
fn an_actor_that_is_answered_with_an_older_state() {
    let breaking = |folder: &mut Folder| insert_late(folder, "c1", seen(TWICE, 3, Status::Running, 1, 1));
    finds(breaking, &[(Proof::States, "c1 saw revision 7 of run")]);
    let another = |folder: &mut Folder| insert_late(folder, "c3", seen(TWICE, 3, Status::Running, 1, 1));
    finds(another, &[]);
}
