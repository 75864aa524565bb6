//! How a stream begins and ends.

use proto::v1::connect_request::Frame as In;
use proto::v1::connect_response::Frame as Out;
use proto::v1::*;

use crate::support::{Fixture, Stream, Wire, eventually, hello, reason};

#[tokio::test(flavor = "multi_thread")]
async fn welcome_is_the_first_frame_and_carries_the_settings() {
    let fixture = Fixture::new().await;
    let stream = Stream::open(&fixture.servers[0]).await;
    let welcome = &stream.welcome;
    assert_eq!(welcome.stream_epoch, 1);
    assert_eq!(welcome.heartbeat_interval.map(|time| time.seconds), Some(5));
    assert_eq!(welcome.lease_timeout.map(|time| time.seconds), Some(30));
    assert!(welcome.event_credits > 0 && welcome.secret.len() >= 32 && welcome.standing.is_empty());
    let again = Stream::open(&fixture.servers[0]).await;
    assert_ne!(again.welcome.worker_id, welcome.worker_id, "each process is a separate worker");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_does_not_begin_with_hello_is_refused() {
    let fixture = Fixture::new().await;
    let frames =
        [In::Credit(Credit { total: 1 }), In::Heartbeat(WorkerHeartbeat::default()), In::Goodbye(Goodbye::default())];
    for frame in frames {
        let mut wire = Wire::open(&fixture.servers[0]).await;
        wire.send(frame);
        let refused = wire.end().await.expect("it is refused");
        assert_eq!((refused.code(), reason(&refused)), (tonic::Code::InvalidArgument, "PROTOCOL_VIOLATION".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_hello_ends_the_stream() {
    let fixture = Fixture::new().await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.send(In::Hello(hello("twice")));
    let refused = stream.end().await.expect("it is refused");
    assert_eq!(reason(&refused), "PROTOCOL_VIOLATION");
}

#[tokio::test(flavor = "multi_thread")]
async fn credit_that_falls_ends_the_stream_and_repeated_credit_does_not() {
    let fixture = Fixture::new().await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(2);
    stream.credit(2);
    stream.heartbeat(&[]).await;
    stream.credit(1);
    let refused = stream.end().await.expect("it is refused");
    assert_eq!(reason(&refused), "PROTOCOL_VIOLATION");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_or_negative_credit_ends_the_stream() {
    let fixture = Fixture::new().await;
    for (total, why) in [(i64::MAX, "PROTOCOL_VIOLATION"), (-1, "INVALID_FIELD")] {
        let mut stream = Stream::open(&fixture.servers[0]).await;
        stream.credit(total);
        assert_eq!(reason(&stream.end().await.expect("it is refused")), why, "{total}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_sends_drain_and_then_shutting_down() {
    let mut fixture = Fixture::new().await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    let server = fixture.servers.remove(0);
    let ended = async {
        assert_eq!(stream.drain().await, DrainReason::ServerShutdown);
        reason(&stream.end().await.expect("it is ended"))
    };
    let (ended, ()) = tokio::join!(ended, server.stop());
    assert_eq!(ended, "SHUTTING_DOWN");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_an_operator_drains_gets_no_more_runs_even_after_a_resume() {
    let fixture = Fixture::with(2, |_| {}).await;
    let session = fixture.session().await;
    let mut stream = Stream::open(&fixture.servers[1]).await;
    stream.credit(2);
    let worker_id = stream.welcome.worker_id.clone();
    let drained = fixture.workers().drain_worker(DrainWorkerRequest { worker_id }).await.expect("it is drained");
    assert_eq!(drained.into_inner().worker.expect("answered").state(), WorkerState::Draining);
    assert_eq!(stream.drain().await, DrainReason::Operator);

    let run = fixture.enqueue(&session, "any").await;
    let mut other = Stream::open(&fixture.servers[1]).await;
    other.credit(1);
    assert_eq!(other.assigned().await.0.id, run.id);
    let hello = crate::support::resume(&stream.welcome, &[]);
    let mut again = Stream::open_with(&fixture.servers[0], hello).await;
    assert_eq!(again.drain().await, DrainReason::Operator);
    let given = |frames: Vec<Out>| frames.iter().any(|frame| matches!(frame, Out::Assignments(_)));
    assert!(!given(again.rest().await), "a draining worker gets no run");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_says_goodbye_is_gone_and_one_whose_stream_is_cut_is_disconnected() {
    let fixture = Fixture::new().await;
    let state = async |id: &str| {
        let request = ListWorkersRequest {
            states: vec![WorkerState::Gone.into(), WorkerState::Disconnected.into()],
            ..Default::default()
        };
        let workers = fixture.workers().list_workers(request).await.expect("they are listed").into_inner().workers;
        workers.into_iter().find(|worker| worker.id == id).map(|worker| worker.state())
    };
    let mut polite = Stream::open(&fixture.servers[0]).await;
    polite.send(In::Goodbye(Goodbye { reason: "done".into() }));
    assert!(polite.end().await.is_none(), "a goodbye ends the stream well");
    let id = polite.welcome.worker_id.clone();
    assert_eq!(eventually("the goodbye", async || state(&id).await).await, WorkerState::Gone);

    let mut cut = Stream::open(&fixture.servers[0]).await;
    cut.half_close();
    assert!(cut.end().await.is_none());
    let id = cut.welcome.worker_id.clone();
    assert_eq!(eventually("the cut", async || state(&id).await).await, WorkerState::Disconnected);
}
