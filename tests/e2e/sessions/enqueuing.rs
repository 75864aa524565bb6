//! Many runs in one call: all are enqueued, or none.

use proto::v1::*;

use crate::support::{Fixture, reason, spec};

async fn runs_there(fixture: &Fixture) -> i64 {
    let count = "SELECT count(*) FROM ops.runs";
    sqlx::query_scalar(count).fetch_one(&mut fixture.sql().await).await.expect("they are counted")
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_runs_are_enqueued_in_one_transaction() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let ids = fixture.enqueue_many(&session, "any", 10_000).await;
    assert_eq!((ids.len(), runs_there(&fixture).await), (10_000, 10_000));
    assert_eq!(fixture.session_now(&session).await.total_runs, 10_000);
    let transactions = "SELECT count(DISTINCT xmin::text) FROM ops.runs";
    let transactions: i64 =
        sqlx::query_scalar(transactions).fetch_one(&mut fixture.sql().await).await.expect("they are counted");
    assert_eq!(transactions, 1);
    let one_more = vec![spec(&session, "any"); 10_001];
    let refused = fixture.runs().enqueue_runs(EnqueueRunsRequest { runs: one_more }).await.expect_err("too many");
    assert_eq!(reason(&refused), "INVALID_FIELD");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_run_refuses_its_whole_call_and_no_other_call() {
    let fixture = Fixture::new().await;
    let (open, closed) = (fixture.session().await, fixture.session().await);
    fixture.close(&closed).await;
    let nobodys = uuid::Uuid::now_v7().to_string();
    let cases = [
        (spec(&closed, "any"), "SESSION_CLOSED"),
        (spec(&nobodys, "any"), "SESSION_NOT_FOUND"),
        (RunSpec { kind: String::new(), ..spec(&open, "any") }, "INVALID_FIELD"),
    ];
    for (bad, why) in cases {
        let mut runs = vec![spec(&open, "any"); 100];
        runs[57] = bad;
        let before = runs_there(&fixture).await;
        let request = EnqueueRunsRequest { runs };
        // Other callers are in the same batch.
        let mut clients = [fixture.runs(), fixture.runs(), fixture.runs()];
        let [bad, first, second] = &mut clients;
        let good = EnqueueRunsRequest { runs: vec![spec(&open, "any"); 2] };
        let (refused, first, second) = tokio::join!(
            bad.enqueue_runs(request),
            first.enqueue_runs(good.clone()),
            second.enqueue_runs(good.clone())
        );
        let refused = refused.expect_err("one of its runs is refused");
        assert_eq!(reason(&refused), why);
        assert!(why != "INVALID_FIELD" || refused.message().contains("runs[57].kind"), "{refused:?}");
        first.expect("it is another call");
        second.expect("it is another call");
        assert_eq!(runs_there(&fixture).await, before + 4);
    }
}
