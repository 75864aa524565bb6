//! The state of a run after a grant ends: every outcome, with and without attempts left, with and without a cancel.

use std::time::Duration;

use engine::domain::run_next::{GrantEnd, run_next};
use proto::v1::*;

use crate::support::{Fixture, Unary, cancelled, failed, failed_for_good, snoozed, spec, succeeded};

#[derive(Debug, Clone, Copy)]
struct Case {
    attempts_left: bool,
    cancel_requested: bool,
}

/// The rule: a success always stands. After a cancel every other outcome confirms it. A failure is retried while
/// attempts are left, unless it is permanent. A snoozed run is always offered again.
fn expected(outcome: &str, case: Case) -> RunStatus {
    match outcome {
        "succeeded" => RunStatus::Succeeded,
        _ if case.cancel_requested => RunStatus::Cancelled,
        "cancelled" => RunStatus::Cancelled,
        "snoozed" => RunStatus::Queued,
        "failed" if case.attempts_left => RunStatus::Queued,
        "failed" | "failed for good" => RunStatus::Failed,
        other => panic!("no such outcome: {other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_outcome_leads_to_the_state_of_the_rule() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let mut worker = Unary::new(&fixture.servers[0], "unary");
    let outcomes = || {
        [
            ("succeeded", succeeded("1")),
            ("failed", failed("Broken")),
            ("failed for good", failed_for_good("Broken")),
            ("cancelled", cancelled()),
            ("snoozed", snoozed(Duration::from_secs(3600))),
        ]
    };
    let mut counted = [0; 4];
    for attempts_left in [false, true] {
        for cancel_requested in [false, true] {
            for (name, outcome) in outcomes() {
                let case = Case { attempts_left, cancel_requested };
                let max_attempts = Some(if attempts_left { 2 } else { 1 });
                let run = fixture.enqueue_spec(RunSpec { max_attempts, ..spec(&session, "any") }).await;
                let run = run.expect("it is enqueued");
                let lease = worker.take().await;
                assert_eq!(lease.run_id, run.id);
                if cancel_requested {
                    fixture.cancel(&run.id).await;
                }
                let after = worker.report(&lease, outcome).await.expect("it is kept");
                let expected = expected(name, case);
                assert_eq!(after.status(), expected, "{name} {case:?}");
                let attempts = if name == "snoozed" && expected == RunStatus::Queued { 0 } else { 1 };
                assert_eq!(after.attempt, attempts, "{name} {case:?}");
                let confirmed = after.cancellation.as_ref().and_then(|cancellation| cancellation.confirmed);
                let confirms = (expected == RunStatus::Cancelled).then_some(true);
                // A run without a cancel has nothing to confirm.
                assert_eq!(confirmed, confirms.filter(|_| cancel_requested), "{name} {case:?}");

                counted[0] += 1;
                match expected {
                    RunStatus::Succeeded => counted[1] += 1,
                    RunStatus::Failed => counted[2] += 1,
                    RunStatus::Cancelled => counted[3] += 1,
                    _ => {
                        // Ends the run, so that the next case does not get it.
                        fixture.cancel(&run.id).await;
                        counted[3] += 1;
                    }
                }
            }
        }
    }
    let session = fixture.session_now(&session).await;
    let counters = [session.total_runs, session.succeeded_runs, session.failed_runs, session.cancelled_runs];
    assert_eq!(counters, counted);
}

/// The statements call the rule in SQL. `run_next` in Rust is the rule that a reader finds, and that the transition table is checked against.
#[tokio::test(flavor = "multi_thread")]
async fn the_rule_in_sql_is_the_rule_in_rust() {
    let fixture = Fixture::with(0, |_| {}).await;
    let mut sql = fixture.sql().await;
    for end in GrantEnd::ALL {
        for case in 0..8 {
            let [begun, cancel_requested, attempts_left] = [1, 2, 4].map(|bit| case & bit != 0);
            let next: String = sqlx::query_scalar("SELECT ops.run_next($1, $2, $3, 1, $4)")
                .bind(end.as_str())
                .bind(begun)
                .bind(cancel_requested)
                .bind(if attempts_left { 2 } else { 1 })
                .fetch_one(&mut sql)
                .await
                .expect("the rule answers");
            let rust = run_next(end, begun, cancel_requested, attempts_left);
            assert_eq!(
                next,
                rust.as_str(),
                "{end:?} begun {begun} cancel {cancel_requested} attempts left {attempts_left}"
            );
        }
    }
}
