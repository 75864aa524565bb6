//! Workers and callers that do not read what they are sent.

use std::time::Duration;

use prost::Message;
use prost::bytes::Bytes;
use proto::v1::connect_request::Frame as In;
use proto::v1::*;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::codegen::http::Request;

use super::assert_overloaded;
use crate::bad_input::table::http2::framed;
use crate::metrics::scrape;
use crate::support::{Fixture, Handle, LiveWorker, Server, eventually, hello, in_time, spec};

const RUN_BYTES: usize = 100 << 10;
const RUNS: usize = 300;
/// Room for a few dozen of the runs.
const ROOM: usize = 4 << 20;

fn large(session: &str) -> RunSpec {
    let params = format!("{{\"x\":\"{}\"}}", "x".repeat(RUN_BYTES));
    RunSpec { params: Some(run_spec::Params::ParamsJson(params)), ..spec(session, "large") }
}

/// A worker with many slots that accepts nothing. It has a connection of its own, which fills up.
async fn deaf(server: &Server) -> (mpsc::Sender<ConnectRequest>, Streaming<ConnectResponse>) {
    let (say, said) = mpsc::channel(8);
    for frame in [In::Hello(hello("deaf")), In::Credit(Credit { total: 1_000 })] {
        say.send(ConnectRequest { frame: Some(frame) }).await.expect("there is room");
    }
    let mut workers = server.dial().await.workers();
    let called = in_time("the headers", workers.connect(ReceiverStream::new(said))).await;
    (say, called.expect("the call is taken").into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_for_workers_that_do_not_accept_are_bounded_in_bytes_and_go_to_a_worker_that_does() {
    let fixture = Fixture::with(1, |config| {
        config.engine.accept_timeout = Duration::from_millis(500);
        config.engine.stream_bytes = ROOM as u32;
    })
    .await;
    let session = fixture.session().await;
    let large = large(&session);
    let mut waiting = Vec::new();
    for _ in 0..20 {
        waiting.push(deaf(&fixture.servers[0]).await);
    }
    let mut enqueuing = JoinSet::new();
    for _ in 0..3 {
        let (mut client, runs) = (fixture.runs(), vec![large.clone(); RUNS / 3]);
        enqueuing.spawn(async move { client.enqueue_runs(EnqueueRunsRequest { runs }).await });
    }
    eventually("the room is used", async || {
        (scrape(&fixture).await.value("ops_offered_bytes") > ROOM as f64 / 2.0).then_some(())
    })
    .await;

    for enqueued in enqueuing.join_all().await {
        enqueued.expect("they are enqueued");
    }
    let handle = Handle::new(|_| async { Ok(serde_json::Value::Null) });
    let reads = LiveWorker::start(&[&fixture.servers[0]], 8, "large", &handle);
    let (mut sql, mut most) = (fixture.sql().await, 0);
    eventually("all runs have ended", async || {
        let offered = scrape(&fixture).await.value("ops_offered_bytes");
        assert!(offered <= ROOM as f64, "{offered}");
        let claimed = "SELECT count(*) FROM ops.runs WHERE status = 'claimed'";
        let claimed: i64 = sqlx::query_scalar(claimed).fetch_one(&mut sql).await.expect("it is counted");
        most = most.max(claimed);
        (fixture.session_now(&session).await.succeeded_runs == RUNS as i64).then_some(())
    })
    .await;
    // What a claim got beyond the room is on its way back for a moment.
    assert!(most < RUNS as i64 / 2, "{most} runs were taken out of the queue at once");
    assert_eq!(reads.stop().await.succeeded, RUNS as u64);
    eventually("nothing is offered any more", async || {
        (scrape(&fixture).await.value("ops_offered_bytes") == 0.0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_reads_are_bounded_in_bytes() {
    let fixture = Fixture::with(1, |config| config.limits.request_bytes = 16 << 20).await;
    let session = fixture.session().await;
    fixture
        .runs()
        .enqueue_runs(EnqueueRunsRequest { runs: vec![large(&session); 100] })
        .await
        .expect("they are enqueued");
    let all = || ListRunsRequest { page_size: 100, ..Default::default() };
    let ask = Bytes::from(framed(&all().encode_to_vec()));

    let mut connection = JoinSet::new();
    let stream = TcpStream::connect(fixture.address()).await.expect("the server listens");
    let mut builder = h2::client::Builder::new();
    // The server may send headers, and no byte of a message.
    let handshake = builder.initial_window_size(0).handshake::<_, Bytes>(stream);
    let (mut client, driver) = handshake.await.expect("it speaks HTTP/2");
    connection.spawn(driver);
    let (mut unread, mut refused) = (Vec::new(), 0);
    for _ in 0..20 {
        client = client.ready().await.expect("it listens");
        let call = Request::post("http://server/ops.v1.RunService/ListRuns").header("content-type", "application/grpc");
        let (answer, mut body) = client.send_request(call.body(()).expect("a request"), false).expect("it is sent");
        body.send_data(ask.clone(), true).expect("it is sent");
        let answer = in_time("an answer", answer).await.expect("it is answered");
        match answer.headers().contains_key("grpc-status") {
            true => refused += 1,
            false => unread.push(answer),
        }
    }
    assert!(!unread.is_empty() && refused > 0, "{} answers wait, {refused} were refused", unread.len());
    assert_overloaded(&fixture.runs().list_runs(all()).await.expect_err("there is no room"));
    fixture.enqueue(&session, "small").await;
    let small = ListRunsRequest { page_size: 1, ..Default::default() };
    fixture.runs().list_runs(small).await.expect("small answers do not count");

    connection.shutdown().await;
    eventually("there is room again", async || fixture.runs().list_runs(all()).await.ok()).await;
}
