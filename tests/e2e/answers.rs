//! Each error has its reason, also one that the gRPC library makes after the call was served.

use proto::v1::watch_runs_response::Event;
use proto::v1::*;
use tonic::Code;

use crate::support::{Fixture, in_time, reason, spec};

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_too_large_is_refused_with_its_reason_and_its_limit() {
    let fixture = Fixture::with(1, |config| config.limits.message_out = 2_000).await;
    let session = fixture.session().await;
    let small = fixture.enqueue(&session, "any").await.id;
    let params = Some(run_spec::Params::ParamsJson(format!("{{\"a\":\"{}\"}}", "x".repeat(4_000))));
    let refused = fixture.enqueue_spec(RunSpec { params, ..spec(&session, "large") }).await.expect_err("it is large");
    let too_large = |status: &tonic::Status| {
        assert_eq!((status.code(), reason(status)), (Code::OutOfRange, "ANSWER_TOO_LARGE".into()));
        assert!(status.message().contains("2000"), "{status:?}");
    };
    too_large(&refused);
    // The work was done all the same.
    let large: String = sqlx::query_scalar("SELECT id::text FROM ops.runs WHERE kind = 'large'")
        .fetch_one(&mut fixture.sql().await)
        .await
        .expect("it is enqueued");
    too_large(&fixture.runs().get_run(GetRunRequest { run_id: large }).await.expect_err("it is large"));
    too_large(&fixture.runs().list_runs(ListRunsRequest::default()).await.expect_err("it is large"));

    // The same in a stream.
    let request = WatchRunsRequest { include_snapshot: true, ..Default::default() };
    let mut watch = fixture.runs().watch_runs(request).await.expect("it is answered").into_inner();
    let refused = loop {
        match in_time("a message of a watch", watch.message()).await {
            Ok(Some(WatchRunsResponse { event: Some(Event::Snapshot(_)) })) => {}
            Ok(other) => panic!("expected an error, got {other:?}"),
            Err(status) => break status,
        }
    };
    too_large(&refused);
    assert_eq!(fixture.get(&small).await.id, small, "what fits is answered");
}
