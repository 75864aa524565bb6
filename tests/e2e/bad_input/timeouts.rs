//! Slow clients: the server closes each after its configured timeout, and meanwhile delays nobody else.

use std::time::Duration;

use prost::Message;
use prost::bytes::Bytes;
use proto::v1::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;

use super::table::calls::{judge, refused};
use super::table::frames::{ACK, DATA, END_HEADERS, GOAWAY, HEADERS, PING, PREFACE, SETTINGS, frame, head, next};
use super::table::http2::{Ask, framed};
use crate::support::{Fixture, Stream, eventually, hello, in_time};

/// The timeout under test.
const SHORT: Duration = Duration::from_millis(300);
/// The pause between two bytes of a slow client, far shorter than the timeout.
const PAUSE: Duration = Duration::from_millis(20);

async fn fixture(configure: impl Fn(&mut server::TransportConfig)) -> Fixture {
    Fixture::with(1, |config| configure(&mut config.transport)).await
}

async fn connect(fixture: &Fixture) -> TcpStream {
    TcpStream::connect(fixture.address()).await.expect("the server listens")
}

/// Reads until the server closes the connection. Returns what it sent.
async fn closed(mut stream: TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    // A connection that is closed with unread bytes is reset.
    let _ = in_time("the end of a connection", stream.read_to_end(&mut said)).await;
    said
}

/// Sends these bytes slowly, again and again, until the server closes the connection.
async fn send_slowly(mut stream: TcpStream, bytes: &[u8]) {
    let trickle = async {
        for byte in bytes.iter().cycle() {
            if stream.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    in_time("the end of a connection", trickle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_does_not_name_its_protocol_in_time_is_closed() {
    let fixture = fixture(|transport| transport.handshake_timeout = SHORT).await;
    assert_eq!(closed(connect(&fixture).await).await, b"");
    let mut half = connect(&fixture).await;
    half.write_all(&PREFACE[..10]).await.expect("it listens");
    assert_eq!(closed(half).await, b"");
    let mut none = connect(&fixture).await;
    none.shutdown().await.expect("it listens");
    assert_eq!(closed(none).await, b"", "a connection that sends nothing gets no answer");
    // A connection that has named its protocol stays open.
    let mut idle = Stream::open(&fixture.servers[0]).await;
    send_slowly(connect(&fixture).await, &PREFACE[..23]).await;
    idle.heartbeat(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_http_1_header_does_not_end_is_closed() {
    let fixture = fixture(|transport| transport.http1_header_timeout = SHORT).await;
    send_slowly(connect(&fixture).await, b"GET /healthz HTTP/1.1\r\nx: ").await;
    let mut long = connect(&fixture).await;
    let header = format!("GET /healthz HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(20_000));
    long.write_all(header.as_bytes()).await.expect("it listens");
    assert!(closed(long).await.starts_with(b"HTTP/1.1 431 "));
    let mut whole = connect(&fixture).await;
    whole.write_all(b"GET /healthz HTTP/1.1\r\nhost: server\r\n\r\n").await.expect("it listens");
    // After the answer the idle connection is closed, too.
    assert!(closed(whole).await.starts_with(b"HTTP/1.1 200 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_message_is_refused_unless_it_belongs_to_a_stream() {
    let fixture = fixture(|transport| transport.receive_timeout = SHORT).await;
    let message = framed(&GetRunRequest { run_id: "x".repeat(10_000) }.encode_to_vec());
    let late = refused(Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    let trickle = Ask {
        body: message.iter().map(|byte| Bytes::copy_from_slice(&[*byte])).collect(),
        pause: Some(PAUSE),
        ..Ask::new("ops.v1.RunService/GetRun", Vec::new())
    };
    let silence = Ask { body: vec![Bytes::new()], ends: false, ..Ask::new("ops.v1.RunService/GetRun", Vec::new()) };
    // The whole message arrives, but not the end of the stream.
    let endless = Ask { ends: false, ..Ask::message("grpc.health.v1.Health/Check", &[]) };
    let mut stream = Stream::open(&fixture.servers[0]).await;
    for ask in [trickle, silence, endless] {
        let answer = in_time("an answer", ask.send(&fixture.address())).await;
        judge(answer, &late).expect("it is refused");
    }
    stream.heartbeat(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_ends_at_its_own_deadline() {
    let fixture = Fixture::new().await;
    let run = fixture.enqueue(&fixture.session().await, "any").await;
    let wait = WaitRunRequest { run_id: run.id, wait_timeout: Some(prost_types::Duration { seconds: 600, nanos: 0 }) };
    let ask = Ask::message("ops.v1.RunService/WaitRun", &wait.encode_to_vec()).header("grpc-timeout", "50m");
    let answer = in_time("an answer", ask.send(&fixture.address())).await;
    judge(answer, &refused(Code::DeadlineExceeded, "DEADLINE_EXCEEDED")).expect("the deadline ends it");
}

/// Opens an HTTP/2 connection with a Connect call that stays open.
async fn open_connect(fixture: &Fixture) -> TcpStream {
    let mut stream = connect(fixture).await;
    let call = frame(HEADERS, END_HEADERS, 1, &head("ops.v1.WorkerService/Connect"));
    let begin = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &call].concat();
    stream.write_all(&begin).await.expect("it listens");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_answers_no_ping_is_closed_even_if_it_reads_nothing() {
    let fixture = fixture(|transport| {
        transport.keepalive_interval = SHORT;
        transport.keepalive_timeout = 10 * SHORT;
    })
    .await;
    let silent = open_connect(&fixture).await;
    // This connection answers each ping, as every client does.
    let (mut read, mut write) = open_connect(&fixture).await.into_split();
    let mut answered = 0;
    let answering = async {
        loop {
            match next(&mut read).await {
                Some((PING, 0, payload)) => {
                    write.write_all(&frame(PING, ACK, 0, &payload)).await.expect("it listens");
                    answered += 1;
                }
                Some(_) => {}
                None => panic!("the server has closed"),
            }
        }
    };
    let ended = tokio::select! {
        ended = closed(silent) => ended,
        () = answering => unreachable!("answering never ends"),
    };
    assert!(!ended.is_empty());
    assert!(answered >= 5, "the other connection continues: {answered}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_over_the_limit_is_closed_and_a_new_one_is_accepted_after_others_end() {
    // The fixture itself has one connection.
    let fixture = fixture(|transport| transport.max_connections = 3).await;
    let (first, second) = (open_connect(&fixture).await, open_connect(&fixture).await);
    eventually("a connection over the limit", async || {
        let mut more = connect(&fixture).await;
        let _ = more.write_all(PREFACE).await;
        let mut byte = [0];
        // The server sends something on each connection that it accepts.
        matches!(in_time("an answer", more.read(&mut byte)).await, Ok(0) | Err(_)).then_some(())
    })
    .await;
    drop((first, second));
    eventually("a connection", async || {
        Ask::message("grpc.health.v1.Health/Check", &[]).send(&fixture.address()).await.ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_at_its_maximum_age_takes_no_new_call_and_ends_no_open_one() {
    let fixture = fixture(|transport| transport.max_connection_age = Some(SHORT)).await;
    let (mut read, mut write) = open_connect(&fixture).await.into_split();
    let mut until = async |wanted: u8| {
        loop {
            match in_time("a frame", next(&mut read)).await {
                Some((kind, _, payload)) if kind == wanted => return payload,
                Some(_) => {}
                None => panic!("it was closed"),
            }
        }
    };
    assert_eq!(until(GOAWAY).await[4..8], [0; 4], "without an error");
    let hello = ConnectRequest { frame: Some(connect_request::Frame::Hello(hello("old"))) };
    write.write_all(&frame(DATA, 0, 1, &framed(&hello.encode_to_vec()))).await.expect("it listens");
    let welcome = ConnectResponse::decode(&until(DATA).await[5..]).expect("a message").frame;
    assert!(matches!(welcome, Some(connect_response::Frame::Welcome(_))), "the open call continues: {welcome:?}");
}
