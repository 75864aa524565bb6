//! Requests that were acknowledged, refused, or are in doubt.

use super::*;

#[test]
fn a_run_that_is_gone_after_it_was_acknowledged() {
    let breaking = |folder: &mut Folder| {
        folder.end.runs.retain(|run| run.id != LOST);
        folder.end.sessions[0].total = 3;
        folder.end.sessions[0].failed = 0;
    };
    let found = found(breaking);
    let words = "(lost) was acknowledged to c1, and is not in the database";
    assert!(found.iter().any(|(proof, what)| *proof == Proof::Acknowledged && what.contains(words)), "{found:#?}");
}

#[test]
fn a_session_that_is_gone_after_it_was_acknowledged() {
    finds(|folder| folder.end.sessions.clear(), &[(Proof::Acknowledged, "session 00000000-")]);
}

#[test]
fn a_run_that_exists_although_its_call_was_definitely_refused() {
    let breaking = |folder: &mut Folder| {
        remove(folder, |what| matches!(what, What::EnqueueAnswered { call, .. } if call == "1"));
        insert_after(
            folder,
            |what| matches!(what, What::EnqueueAsked { call, .. } if call == "1"),
            "c1",
            What::EnqueueRefused { call: "1".into(), code: String::new(), reason: String::new(), definite: true },
        );
    };
    finds(breaking, &[(Proof::Acknowledged, "twice was refused, and is in the database")]);
}

#[test]
fn half_a_call_in_doubt() {
    let breaking = |folder: &mut Folder| {
        run(folder, TWICE).labels.insert("key".into(), "in-doubt-1".into());
        remove(folder, |what| matches!(what, What::EnqueueAsked { call, .. } if call == "1"));
        change(folder, |what| {
            if let What::ExecutionBegan { run: TWICE, key, .. } = what {
                *key = "in-doubt-1".into();
            }
        });
    };
    finds(breaking, &[(Proof::Acknowledged, "for in-doubt-1, in-doubt-2, only in-doubt-1 is in the database")]);
}

#[test]
fn one_request_id_with_two_answers() {
    let breaking = |folder: &mut Folder| {
        insert_late(folder, "c1", What::EnqueueAnswered { call: "2".into(), ids: vec![LOST, CANCELLED] });
    };
    let found = found(breaking);
    assert!(found.iter().any(|(_, what)| what.contains("one request id was answered with different runs")));
}

#[test]
fn one_request_id_that_created_two_sets_of_runs() {
    let breaking = |folder: &mut Folder| {
        change(folder, |what| {
            if let What::EnqueueAsked { call, request_id, .. } = what
                && call == "1"
            {
                *request_id = Some("r".into());
            }
        });
    };
    finds(breaking, &[(Proof::Acknowledged, "request id r made 2 different sets of runs")]);
}

#[test]
fn a_run_that_was_stored_twice() {
    let breaking = |folder: &mut Folder| {
        let mut again = run(folder, LOST).clone();
        again.id = Uuid::from_u128(0xdd);
        folder.end.runs.push(again);
        folder.end.sessions[0].total += 1;
        folder.end.sessions[0].failed += 1;
        remove(folder, |what| matches!(what, What::WatchSettled { watcher } if watcher == "all"));
    };
    finds(breaking, &[(Proof::Acknowledged, "lost was asked for once, and is in the database 2 times")]);
}

#[test]
fn a_run_that_no_client_requested() {
    let breaking = |folder: &mut Folder| {
        remove(folder, |what| matches!(what, What::SqlAsked { key, .. } if key == "parked"));
        remove(folder, |what| matches!(what, What::SqlEnqueued { key, .. } if key == "parked"));
    };
    finds(breaking, &[(Proof::Acknowledged, "no client requested \"parked\"")]);
}

#[test]
fn a_commit_that_left_nothing_and_a_rollback_that_left_something() {
    let commit = |folder: &mut Folder| insert_late(folder, "c2", sql("rolled-back", None, Some(true)));
    finds(commit, &[(Proof::Acknowledged, "rolled-back was committed with ops.enqueue_run()")]);
    let rollback = |folder: &mut Folder| insert_late(folder, "c2", sql("parked", None, Some(false)));
    finds(rollback, &[(Proof::Acknowledged, "parked was rolled back, and is in the database")]);
}

#[test]
fn a_commit_without_an_answer_may_have_happened_or_not() {
    for key in ["rolled-back", "parked"] {
        finds(|folder| insert_late(folder, "c2", sql(key, None, None)), &[]);
    }
}
