//! Runs are enqueued: acknowledged means committed, and the same request again means the same run.

use proto::v1::*;

use crate::support::{House, spec};

#[tokio::test(flavor = "multi_thread")]
async fn an_enqueued_run_is_queued_and_counted() {
    let house = House::new().await;
    let session = house.session().await;
    let run = house.enqueue(&session, "noop").await;
    assert_eq!(run.status(), RunStatus::Queued);
    assert_eq!(house.get(&run.id).await, run);
    let counted = house.sessions().get_session(GetSessionRequest { session_id: session }).await.expect("it is there");
    assert_eq!(counted.into_inner().session.expect("answered").total_runs, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_id_is_the_same_run_and_another_payload_is_refused() {
    let house = House::new().await;
    let session = house.session().await;
    let first = RunSpec { request_id: "once".into(), ..spec(&session, "noop") };
    let run = house.enqueue_spec(first.clone()).await.expect("it is enqueued");
    assert_eq!(house.enqueue_spec(first.clone()).await.expect("it is repeated").id, run.id);
    let other = RunSpec { priority: 1, ..first };
    let refused = house.enqueue_spec(other).await.expect_err("it is another run");
    assert_eq!(refused.code(), tonic::Code::AlreadyExists, "{refused:?}");
}
