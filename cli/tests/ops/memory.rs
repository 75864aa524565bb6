//! The memory of a server whose workers do not read.

use std::{fs, time::Duration};

use proto::v1::{
    ConnectRequest, ConnectResponse, Credit, EnqueueRunsRequest, Hello, Lane, RunSpec, connect_request::Frame as In,
    connect_response::Frame as Out, run_spec::Params,
};
use tokio::{sync::mpsc, time::sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::ops::fixture::Fixture;

const WORKERS: usize = 20;
/// Together they are more than the server may use.
const RUNS: usize = 1_500;
const RUN_BYTES: usize = 200 << 10;
/// The room for runs that no worker has accepted.
const ROOM: usize = 32 << 20;
/// What the server may use beside the room, with unoptimized code and an allocator that keeps some.
const BESIDE: usize = 128 << 20;
/// How long the runs are sent to workers, taken back and sent again, and how long the server may take to give memory back.
const WHILE_UNREAD: Duration = Duration::from_secs(15);
const WHILE_AT_REST: Duration = Duration::from_secs(25);

type Worker = (mpsc::Sender<ConnectRequest>, Streaming<ConnectResponse>);

/// A worker that reads its Welcome and no more.
async fn open(client: &client::Client) -> Worker {
    let (say, said) = mpsc::channel(8);
    let lanes = vec![Lane::A.into()];
    let hello = Hello { protocol_version: 1, name: "deaf".into(), lanes, ..Default::default() };
    for frame in [In::Hello(hello), In::Credit(Credit { total: 1_000 })] {
        say.send(ConnectRequest { frame: Some(frame) }).await.unwrap();
    }
    let mut frames = client.workers().connect(ReceiverStream::new(said)).await.unwrap().into_inner();
    assert!(matches!(frames.message().await.unwrap().unwrap().frame, Some(Out::Welcome(_))));
    (say, frames)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_workers_do_not_read_keeps_to_its_room_and_gives_the_memory_back() {
    let mut fixture = Fixture::empty().await;
    fixture.serve(&["--accept-timeout", "1s", "--stream-bytes", &ROOM.to_string()]);
    let pid = fixture.servers[0].process.pid();
    let resident = || {
        let text = fs::read_to_string(format!("/proc/{pid}/statm")).expect("it runs");
        text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a number") * 4096
    };
    let session = fixture.client().session().await;
    let settings = client::Settings::default();
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        let client = client::Client::connect(fixture.address(), &settings).await.unwrap();
        workers.push(open(&client).await);
    }
    let before = resident();
    let params = format!("{{\"x\":\"{}\"}}", "x".repeat(RUN_BYTES));
    let run = RunSpec {
        session_id: session,
        lane: Lane::A.into(),
        kind: "large".into(),
        params: Some(Params::ParamsJson(params)),
        ..Default::default()
    };
    let mut runs = client::Client::connect(fixture.address(), &settings).await.unwrap().runs();
    let mut most = 0;
    for _ in 0..RUNS / 50 {
        runs.enqueue_runs(EnqueueRunsRequest { runs: vec![run.clone(); 50] }).await.unwrap();
        most = most.max(resident());
    }
    for _ in 0..WHILE_UNREAD.as_millis() / 100 {
        sleep(Duration::from_millis(100)).await;
        most = most.max(resident());
    }
    drop(workers);
    let mut after = resident();
    for _ in 0..WHILE_AT_REST.as_millis() / 100 {
        sleep(Duration::from_millis(100)).await;
        after = after.min(resident());
    }
    println!("resident: {} MiB before, {} MiB at most, {} MiB after", before >> 20, most >> 20, after >> 20);
    assert!(most < ROOM + BESIDE, "{} MiB at most", most >> 20);
    assert!(after < before + BESIDE / 2, "{} MiB before, {} MiB after", before >> 20, after >> 20);
}
