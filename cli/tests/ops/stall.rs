//! A server that stands still for a while, and what its clients abandon meanwhile.

use std::time::Duration;

use nix::sys::signal::Signal;
use proto::v1::{
    ConnectRequest, ConnectResponse, GetRunRequest, Hello, Lane, WorkerHeartbeat, connect_request::Frame as In,
    connect_response::Frame as Out,
};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Streaming};

use crate::ops::fixture::Fixture;

/// Far longer than any answer takes.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The deadline of the calls, and their number: far more than an application gives up at once.
const DEADLINE: Duration = Duration::from_millis(100);
const CALLS: usize = 400;

async fn frame(frames: &mut Streaming<ConnectResponse>) -> Out {
    let frame = timeout(TIMEOUT, frames.message()).await.expect("it is answered");
    frame.expect("the stream lives").expect("it has not ended").frame.unwrap()
}

/// The calls and the worker's stream share a connection, and it is the stream that would pay for the calls.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_given_up_while_the_server_stands_still_do_not_end_the_streams_beside_them() {
    let mut fixture = Fixture::empty().await;
    fixture.serve(&[]);
    let settings = client::Settings { pings: None, ..client::Settings::default() };
    let client = client::Client::connect(fixture.address(), &settings).await.unwrap();
    let (say, said) = mpsc::channel(8);
    let hello = Hello {
        protocol_version: 1,
        name: "beside".into(),
        lanes: vec![Lane::D.into()],
        kinds: vec!["nothing".into()],
        ..Default::default()
    };
    say.send(ConnectRequest { frame: Some(In::Hello(hello)) }).await.unwrap();
    let mut frames = client.workers().connect(ReceiverStream::new(said)).await.unwrap().into_inner();
    assert!(matches!(frame(&mut frames).await, Out::Welcome(_)));

    let server = &fixture.servers[0].process;
    server.signal(Signal::SIGSTOP);
    let mut calls = JoinSet::new();
    for _ in 0..CALLS {
        let mut runs = client.runs();
        calls.spawn(async move {
            let mut request = Request::new(GetRunRequest { run_id: "01900000-0000-7000-8000-000000000000".into() });
            request.set_timeout(DEADLINE);
            runs.get_run(request).await.map(drop).unwrap_err().code()
        });
    }
    for code in timeout(TIMEOUT, calls.join_all()).await.expect("each has a deadline") {
        assert!(matches!(code, Code::DeadlineExceeded | Code::Cancelled), "{code:?}");
    }
    server.signal(Signal::SIGCONT);

    let heartbeat = In::Heartbeat(WorkerHeartbeat::default());
    say.send(ConnectRequest { frame: Some(heartbeat) }).await.expect("the stream lives");
    assert!(matches!(frame(&mut frames).await, Out::HeartbeatAck(_)));
}
