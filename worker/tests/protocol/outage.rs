//! An outage costs no living worker its run, and silence is no outage.

use std::{net::SocketAddr, sync::atomic::Ordering, time::Duration};

use proto::v1::{self, outcome::Outcome};
use tokio::{net::TcpListener, time};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{
    fake::{FakeServer, FakeStream},
    scene::{MINUTE, Running, lease, outcome, welcome},
};

const LEASE: Duration = Duration::from_secs(1);
/// Longer than two leases.
const TWO_LEASES: Duration = Duration::from_millis(2_200);

fn short_welcome(standing: &[v1::Lease]) -> v1::Welcome {
    v1::Welcome { lease_timeout: Some(prost_types::Duration { seconds: 1, nanos: 0 }), ..welcome(standing) }
}

/// An address at which no server listens.
async fn closed_address() -> SocketAddr {
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

/// The worker resumes with its run. The run succeeds and is executed once.
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
async fn handlers_live_while_no_server_listens_at_any_address() {
    let mut server = FakeServer::start().await;
    let (running, stream) = one_running(&mut server, &[closed_address().await.to_string()]).await;
    let address = server.stop().await;
    drop(stream);
    let is_killed = time::timeout(TWO_LEASES, running.scene.dropped.acquire()).await.is_ok();
    assert!(!is_killed, "the handler was killed");
    let mut server = FakeServer::start_at(address).await;
    let stream = server.accept().await;
    finishes(running, stream).await;
}

#[tokio::test]
async fn handlers_live_while_the_server_says_that_its_database_is_away() {
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

#[tokio::test]
async fn handlers_are_killed_at_the_end_of_their_lease_when_one_address_is_silent() {
    let mut server = FakeServer::start().await;
    let other = closed_address().await;
    let (running, stream) = one_running(&mut server, &[other.to_string()]).await;
    // This server accepts connections and never sends a byte.
    let _silent = TcpListener::bind(other).await.unwrap();
    let since = time::Instant::now();
    server.stop().await;
    drop(stream);
    running.scene.dropped.acquire().await.unwrap().forget();
    assert!(since.elapsed() < LEASE * 3, "killed late, after {:?}", since.elapsed());
}
