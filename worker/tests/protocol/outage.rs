//! An outage costs no living worker its run, and silence is no outage.

use std::{net::SocketAddr, sync::atomic::Ordering, time::Duration};

use proto::v1::{self, connect_request::Frame as FromWorker, outcome::Outcome};
use tokio::{net::TcpListener, time};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{
    fake::{FakeServer, FakeStream},
    scene::{MINUTE, Running, lease, outcome, welcome},
};

const LEASE: Duration = Duration::from_secs(1);
/// Within this time leases would have ended twice.
const TWO_LEASES: Duration = Duration::from_millis(2_200);

fn short_welcome(standing: &[v1::Lease]) -> v1::Welcome {
    v1::Welcome { lease_timeout: Some(prost_types::Duration { seconds: 1, nanos: 0 }), ..welcome(standing) }
}

/// An address at which nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A worker that executes one run on this server.
async fn one_running(server: &mut FakeServer, other_servers: &[String]) -> (Running, FakeStream) {
    let mut servers = vec![server.address.to_string()];
    servers.extend_from_slice(other_servers);
    let running = Running::start_at(servers, 1, MINUTE);
    let mut stream = server.accept().await;
    stream.welcome(short_welcome(&[])).await;
    stream.give(&lease(1), "wait").await;
    (running, stream)
}

/// The worker resumes with its run, which then ends well, executed once.
async fn finishes(running: Running, mut stream: FakeStream) {
    assert_eq!(stream.hello.resume.clone().unwrap().held, [lease(1)]);
    stream.welcome(short_welcome(&[lease(1)])).await;
    running.scene.gate.add_permits(1);
    assert!(matches!(outcome(&stream.report().await), Outcome::Succeeded(_)));
    stream.acknowledge_report(&lease(1)).await;
    let scene = running.scene.clone();
    let summary = running.shut_down(stream).await;
    assert_eq!((summary.succeeded, summary.lost), (1, 0));
    assert_eq!(scene.started.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn while_nobody_listens_at_any_address_handlers_live_on() {
    let mut server = FakeServer::start().await;
    let (running, stream) = one_running(&mut server, &[nobody().await.to_string()]).await;
    let address = server.stop().await;
    drop(stream);
    let is_killed = time::timeout(TWO_LEASES, running.scene.dropped.acquire()).await.is_ok();
    assert!(!is_killed, "the handler was killed");
    let mut server = FakeServer::start_at(address).await;
    let stream = server.accept().await;
    finishes(running, stream).await;
}

#[tokio::test]
async fn while_the_server_says_that_its_database_is_away_handlers_live_on() {
    let mut server = FakeServer::start().await;
    let (running, stream) = one_running(&mut server, &[]).await;
    drop(stream);
    let details = ErrorDetails::with_error_info("DATABASE_UNAVAILABLE", "ops", []);
    let refuse_all = async {
        loop {
            let status = Status::with_error_details(Code::Unavailable, "away", details.clone());
            server.accept().await.refuse(status).await;
        }
    };
    tokio::select! {
        () = refuse_all => {}
        () = time::sleep(TWO_LEASES) => {}
        _ = running.scene.dropped.acquire() => panic!("the handler was killed"),
    }
    let stream = server.accept().await;
    finishes(running, stream).await;
}

/// A worker of two servers that executes one run; the stream to the one that it came to, whose database is away from now on;
/// that server, and the other.
async fn one_of_two() -> (Running, FakeStream, FakeServer, FakeServer) {
    let (mut first, mut second) = (FakeServer::start().await, FakeServer::start().await);
    let servers = [&first, &second].map(|server| server.address.to_string());
    let mut running = Running::start_at(servers.to_vec(), 2, MINUTE);
    // Which comes first is chance.
    let (mut stream, its, other) = tokio::select! {
        stream = first.accept() => (stream, first, second),
        stream = second.accept() => (stream, second, first),
    };
    let heartbeat_interval = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    stream.welcome(v1::Welcome { heartbeat_interval, ..welcome(&[]) }).await;
    stream.give(&lease(1), "wait").await;
    running.wait_for_start().await;
    stream.is_frozen = true;
    (running, stream, its, other)
}

#[tokio::test]
async fn a_worker_whose_server_alone_lost_the_database_goes_on_with_another_and_takes_its_runs_along() {
    let (running, mut frozen, _its, mut other) = one_of_two().await;
    let found = tokio::select! {
        found = other.accept() => found,
        () = frozen.expect(|_| None::<()>) => panic!("it says what is not expected"),
    };
    finishes(running, found).await;
    while frozen.next().await.is_some() {}
}

#[tokio::test]
async fn a_worker_stays_with_its_frozen_server_while_there_is_no_better_one() {
    let (running, mut frozen, _its, mut other) = one_of_two().await;
    let details = ErrorDetails::with_error_info("DATABASE_UNAVAILABLE", "ops", []);
    // It asks again and again, and is refused each time.
    let refuse = async {
        for _ in 0..3 {
            let status = Status::with_error_details(Code::Unavailable, "away", details.clone());
            other.accept().await.refuse(status).await;
        }
    };
    tokio::select! {
        () = refuse => {}
        () = frozen.expect(|_| None::<()>) => panic!("it says what is not expected"),
    }
    running.scene.gate.add_permits(1);
    assert!(matches!(outcome(&frozen.report().await), Outcome::Succeeded(_)));
    frozen.is_frozen = false;
    frozen.acknowledge_report(&lease(1)).await;
    // The next answer tells it that all is well.
    frozen.expect(|frame| matches!(frame, FromWorker::Heartbeat(_)).then_some(())).await;
    let summary = running.shut_down(frozen).await;
    assert_eq!((summary.succeeded, summary.lost, summary.connects), (1, 0, 1));
}

#[tokio::test]
async fn a_start_that_comes_while_another_server_is_greeted_waits_for_the_answer() {
    let (running, mut frozen, _its, mut other) = one_of_two().await;
    frozen.assign(&lease(2), "wait").await;
    let greeted = tokio::select! {
        greeted = other.accept() => greeted,
        () = frozen.expect(|_| None::<()>) => panic!("it says what is not expected"),
    };
    frozen.start(&lease(2)).await;
    // An answer to a heartbeat that came after the start: the worker has seen both.
    frozen.expect(|frame| matches!(frame, FromWorker::Heartbeat(_)).then_some(())).await;
    assert_eq!(running.scene.started.load(Ordering::SeqCst), 1, "the other server was not told of it");
    // As the other does not take the worker, it starts here.
    greeted.refuse(Status::unavailable("no")).await;
    running.scene.gate.add_permits(2);
    let mut ended = [frozen.report().await.run_id, frozen.report().await.run_id];
    ended.sort();
    assert_eq!(ended, [lease(1).run_id, lease(2).run_id]);
}

#[tokio::test]
async fn when_one_address_is_silent_handlers_are_killed_at_their_lease() {
    let mut server = FakeServer::start().await;
    let other = nobody().await;
    let (running, stream) = one_running(&mut server, &[other.to_string()]).await;
    // Connections are taken, and nothing is ever said on them.
    let _silent = TcpListener::bind(other).await.unwrap();
    let since = time::Instant::now();
    server.stop().await;
    drop(stream);
    running.scene.dropped.acquire().await.unwrap().forget();
    assert!(since.elapsed() < LEASE * 3, "killed late, after {:?}", since.elapsed());
}
