//! Results, and the grants that reported them.

use super::*;

fn accept(run: Uuid, fence: i64, token: &str) -> What {
    What::ReportAnswered { run, fence, token: token.into(), verdict: Verdict::Accepted }
}

#[test]
fn two_accepted_results_of_one_grant() {
    let found = found(|folder| insert_late(folder, "w1-1", accept(TWICE, 2, "t1")));
    assert!(found.iter().any(|(_, what)| what.contains("fence 2 were accepted: t2 and t1")), "{found:#?}");
}

#[test]
fn the_same_report_again_may_be_accepted_again() {
    finds(|folder| insert_late(folder, "w2-1", accept(TWICE, 2, "t2")), &[]);
}

#[test]
fn a_result_of_an_older_grant_that_ended_the_run() {
    let breaking = |folder: &mut Folder| run(folder, TWICE).result = Some(json!({"token": "t1"}));
    let found = found(breaking);
    let words = "was ended by fence 2, and keeps t1, which w1-1 reported";
    assert!(found.iter().any(|(proof, what)| *proof == Proof::Results && what.contains(words)), "{found:#?}");
}

#[test]
fn an_accepted_result_that_is_kept_nowhere() {
    let breaking = |folder: &mut Folder| folder.end.grants[0].outcome_source = "recovery".into();
    finds(breaking, &[(Proof::Results, "the result t1 of run")]);
}

#[test]
fn a_result_that_no_execution_reported() {
    let breaking = |folder: &mut Folder| {
        change(folder, |what| {
            if let What::ReportAnswered { token, verdict, .. } = what
                && token == "t2"
            {
                *verdict = Verdict::Refused(String::new());
            }
        });
        run(folder, TWICE).result = Some(json!({"token": "invented"}));
    };
    finds(breaking, &[(Proof::Results, "keeps invented, and no execution ended with that")]);
}

#[test]
fn a_success_that_was_a_failure() {
    let breaking = |folder: &mut Folder| {
        change(folder, |what| {
            if let What::ExecutionEnded { token, outcome, .. } = what
                && token == "t2"
            {
                *outcome = Outcome::Failed;
            }
        });
    };
    finds(breaking, &[(Proof::Results, "is succeeded, and w2-1 ended it with Failed")]);
}

#[test]
fn a_run_that_was_cancelled_although_it_has_a_result() {
    let breaking = |folder: &mut Folder| run(folder, PARKED).result = Some(json!({}));
    finds(breaking, &[(Proof::Results, "is cancelled, and has the result")]);
}

#[test]
fn a_grant_that_keeps_the_error_of_another() {
    let breaking = |folder: &mut Folder| {
        folder.end.grants[0].error = Some(json!({"context": {"token": "t3"}}));
        remove(folder, |what| matches!(what, What::ReportAnswered { token, .. } if token == "t1"));
    };
    finds(breaking, &[(Proof::Results, "fence 1 keeps t3, which w1-1 reported")]);
}
