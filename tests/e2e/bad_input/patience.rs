//! Clients that take their time: each is given up after the time that a setting gives it, and holds up nobody meanwhile.

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

/// What a client is given here.
const SHORT: Duration = Duration::from_millis(300);
/// Between two of its bytes: far less.
const PAUSE: Duration = Duration::from_millis(20);

async fn fixture(configure: impl Fn(&mut server::TransportConfig)) -> Fixture {
    Fixture::with(1, |config| configure(&mut config.transport)).await
}

async fn connect(fixture: &Fixture) -> TcpStream {
    TcpStream::connect(fixture.address()).await.expect("the server listens")
}

/// Reads until the server closes, and gives what it said.
async fn closed(mut stream: TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    // Closed with something unread, it is reset.
    let _ = in_time("the end of a connection", stream.read_to_end(&mut said)).await;
    said
}

/// Says this, byte by byte, until the server closes.
async fn trickled(mut stream: TcpStream, bytes: &[u8]) {
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
async fn who_does_not_say_what_he_speaks_is_given_up() {
    let fixture = fixture(|transport| transport.handshake_timeout = SHORT).await;
    assert_eq!(closed(connect(&fixture).await).await, b"");
    let mut half = connect(&fixture).await;
    half.write_all(&PREFACE[..10]).await.expect("it listens");
    assert_eq!(closed(half).await, b"");
    let mut none = connect(&fixture).await;
    none.shutdown().await.expect("it listens");
    assert_eq!(closed(none).await, b"", "one that says nothing and ends is no request");
    // Somebody who has said it is not.
    let mut idle = Stream::open(&fixture.servers[0]).await;
    trickled(connect(&fixture).await, &PREFACE[..23]).await;
    idle.heartbeat(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_of_http_1_that_does_not_end_is_given_up() {
    let fixture = fixture(|transport| transport.http1_header_timeout = SHORT).await;
    trickled(connect(&fixture).await, b"GET /healthz HTTP/1.1\r\nx: ").await;
    let mut long = connect(&fixture).await;
    let header = format!("GET /healthz HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(20_000));
    long.write_all(header.as_bytes()).await.expect("it listens");
    assert!(closed(long).await.starts_with(b"HTTP/1.1 431 "));
    let mut whole = connect(&fixture).await;
    whole.write_all(b"GET /healthz HTTP/1.1\r\nhost: server\r\n\r\n").await.expect("it listens");
    // And such a connection is kept no longer than that.
    assert!(closed(whole).await.starts_with(b"HTTP/1.1 200 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_trickles_is_given_up_unless_it_is_one_of_a_stream() {
    let fixture = fixture(|transport| transport.receive_timeout = SHORT).await;
    let message = framed(&GetRunRequest { run_id: "x".repeat(10_000) }.encode_to_vec());
    let late = refused(Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    let trickle = Ask {
        body: message.iter().map(|byte| Bytes::copy_from_slice(&[*byte])).collect(),
        pause: Some(PAUSE),
        ..Ask::new("ops.v1.RunService/GetRun", Vec::new())
    };
    let silence = Ask { body: vec![Bytes::new()], ends: false, ..Ask::new("ops.v1.RunService/GetRun", Vec::new()) };
    // The message is there, and its end is not.
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
    judge(answer, &refused(Code::DeadlineExceeded, "DEADLINE_EXCEEDED")).expect("it is cut short");
}

/// Begins HTTP/2 and a Connect that stays open.
async fn begun(fixture: &Fixture) -> TcpStream {
    let mut stream = connect(fixture).await;
    let call = frame(HEADERS, END_HEADERS, 1, &head("ops.v1.WorkerService/Connect"));
    let begin = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &call].concat();
    stream.write_all(&begin).await.expect("it listens");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_answer_a_ping_is_given_up_also_if_nothing_is_read() {
    let fixture = fixture(|transport| {
        transport.keepalive_interval = SHORT;
        transport.keepalive_timeout = 10 * SHORT;
    })
    .await;
    let silent = begun(&fixture).await;
    // This one answers each, as every client does.
    let (mut read, mut write) = begun(&fixture).await.into_split();
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
        () = answering => unreachable!("it goes on"),
    };
    assert!(!ended.is_empty());
    assert!(answered >= 5, "the other one goes on: {answered}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_too_many_is_closed_and_the_next_one_is_taken_when_another_has_ended() {
    // The fixture has one itself.
    let fixture = fixture(|transport| transport.max_connections = 3).await;
    let (first, second) = (begun(&fixture).await, begun(&fixture).await);
    eventually("one too many", async || {
        let mut more = connect(&fixture).await;
        let _ = more.write_all(PREFACE).await;
        let mut byte = [0];
        // A connection that is taken says something.
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
async fn a_connection_that_has_its_age_takes_no_new_call_and_ends_none() {
    let fixture = fixture(|transport| transport.max_connection_age = Some(SHORT)).await;
    let (mut read, mut write) = begun(&fixture).await.into_split();
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
    assert!(matches!(welcome, Some(connect_response::Frame::Welcome(_))), "the call goes on: {welcome:?}");
}
