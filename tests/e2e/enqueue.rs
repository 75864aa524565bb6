//! Enqueues: an acknowledged run is committed, and a repeated request returns the same run.

use proto::v1::*;

use crate::support::{Fixture, spec};

#[tokio::test(flavor = "multi_thread")]
async fn an_enqueued_run_is_queued_and_counted() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let run = fixture.enqueue(&session, "noop").await;
    assert_eq!(run.status(), RunStatus::Queued);
    assert_eq!(fixture.get(&run.id).await, run);
    let counted = fixture.sessions().get_session(GetSessionRequest { session_id: session }).await.expect("it is there");
    assert_eq!(counted.into_inner().session.expect("answered").total_runs, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_id_returns_the_same_run_and_another_payload_is_refused() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let first = RunSpec { request_id: "once".into(), ..spec(&session, "noop") };
    let run = fixture.enqueue_spec(first.clone()).await.expect("it is enqueued");
    assert_eq!(fixture.enqueue_spec(first.clone()).await.expect("it is repeated").id, run.id);
    let other = RunSpec { priority: 1, ..first };
    let refused = fixture.enqueue_spec(other).await.expect_err("it is another run");
    assert_eq!(refused.code(), tonic::Code::AlreadyExists, "{refused:?}");
}
