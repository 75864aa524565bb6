//! The proxy with any bytes.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::super::{Cut, Flow, Pass, Protocol};
use super::{Pair, has_heard_nothing, hears, hears_a_reset, hears_the_end, in_time, says};

fn pass(pass: Pass) -> Flow {
    Flow { pass, ..Flow::default() }
}

#[tokio::test]
async fn bytes_and_the_end_of_each_side_pass_through() {
    let mut pair = Pair::open(Protocol::Any).await;
    says(&mut pair.client, b"question").await;
    hears(&mut pair.server, b"question").await;
    pair.client.shutdown().await.unwrap();
    hears_the_end(&mut pair.server).await;
    // Only one side has ended.
    says(&mut pair.server, b"answer").await;
    hears(&mut pair.client, b"answer").await;
    pair.server.shutdown().await.unwrap();
    hears_the_end(&mut pair.client).await;
    assert_eq!(pair.proxy.accepted(), 1);
}

#[tokio::test]
async fn a_break_on_one_side_breaks_the_other() {
    let mut pair = Pair::open(Protocol::Any).await;
    pair.server.set_zero_linger().unwrap();
    drop(pair.server);
    hears_a_reset(&mut pair.client).await;
}

#[tokio::test]
async fn a_cut_ends_the_open_links_in_order_or_at_once_and_not_later_ones() {
    let mut pair = Pair::open(Protocol::Any).await;
    pair.proxy.cut(Cut::Fin);
    hears_the_end(&mut pair.client).await;
    hears_the_end(&mut pair.server).await;
    pair.again().await;
    pair.proxy.cut(Cut::Rst);
    hears_a_reset(&mut pair.client).await;
    hears_a_reset(&mut pair.server).await;
    pair.again().await;
    says(&mut pair.client, b"still here").await;
    hears(&mut pair.server, b"still here").await;
}

#[tokio::test]
async fn held_bytes_and_a_held_end_arrive_when_the_network_heals() {
    let mut pair = Pair::open(Protocol::Any).await;
    pair.proxy.order(|orders| orders.to_server = pass(Pass::Hold)).await.unwrap();
    says(&mut pair.client, b"late").await;
    pair.client.shutdown().await.unwrap();
    // The other direction goes on.
    says(&mut pair.server, b"meanwhile").await;
    hears(&mut pair.client, b"meanwhile").await;
    has_heard_nothing(&pair.server);
    pair.proxy.order(|orders| orders.to_server = pass(Pass::Through)).await.unwrap();
    hears(&mut pair.server, b"late").await;
    hears_the_end(&mut pair.server).await;
}

#[tokio::test]
async fn swallowed_bytes_are_gone_and_so_is_the_link_when_the_network_heals() {
    let mut pair = Pair::open(Protocol::Any).await;
    pair.proxy.order(|orders| orders.to_client = pass(Pass::Swallow)).await.unwrap();
    says(&mut pair.server, b"lost").await;
    // Once this has arrived, the earlier bytes have been read and lost, because both directions share a link.
    says(&mut pair.client, b"heard").await;
    hears(&mut pair.server, b"heard").await;
    says(&mut pair.server, b"lost too").await;
    says(&mut pair.client, b"heard too").await;
    hears(&mut pair.server, b"heard too").await;
    has_heard_nothing(&pair.client);
    pair.proxy.order(|orders| orders.to_client = pass(Pass::Through)).await.unwrap();
    hears_a_reset(&mut pair.client).await;
}

#[tokio::test]
async fn bytes_take_at_least_the_time_of_a_delay_and_keep_their_order() {
    const DELAY: Duration = Duration::from_millis(150);
    let mut pair = Pair::open(Protocol::Any).await;
    let slow = Flow { delay: DELAY, ..Flow::default() };
    pair.proxy.order(|orders| orders.to_server = slow).await.unwrap();
    // The link has its orders once bytes are slow. Until then the test proves nothing.
    loop {
        let begin = Instant::now();
        says(&mut pair.client, b"one").await;
        says(&mut pair.client, b"two").await;
        hears(&mut pair.server, b"onetwo").await;
        if begin.elapsed() >= DELAY {
            break;
        }
    }
}

#[tokio::test]
async fn a_bound_of_bytes_a_second_is_kept_and_nothing_is_lost() {
    let mut pair = Pair::open(Protocol::Any).await;
    let slow = Flow { rate: Some(40_000), ..Flow::default() };
    pair.proxy.order(|orders| orders.to_client = slow).await.unwrap();
    let bytes: Vec<u8> = (0..20_000_u32).map(|it| it.to_le_bytes()[0]).collect();
    loop {
        let begin = Instant::now();
        says(&mut pair.server, &bytes).await;
        hears(&mut pair.client, &bytes).await;
        // Nine of ten steps of a twentieth of a second.
        if begin.elapsed() >= Duration::from_millis(450) {
            break;
        }
    }
}

#[tokio::test]
async fn a_refusing_proxy_refuses_connections_and_comes_back_on_its_port() {
    let mut pair = Pair::open(Protocol::Any).await;
    let address = pair.proxy.address();
    for _ in 0..3 {
        pair.proxy.order(|orders| orders.is_refusing = true).await.unwrap();
        assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        // Open connections stay.
        says(&mut pair.client, b"here").await;
        hears(&mut pair.server, b"here").await;
        pair.proxy.order(|orders| orders.is_refusing = false).await.unwrap();
        pair.again().await;
    }
    pair.proxy.order(|orders| orders.upstream = None).await.unwrap();
    assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_client_is_cut_off_when_no_server_is_behind_the_proxy() {
    let pair = Pair::open(Protocol::Any).await;
    let Pair { proxy, listener, .. } = pair;
    drop(listener);
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    hears_a_reset(&mut client).await;
}

#[tokio::test]
async fn a_sender_of_more_than_a_link_keeps_waits_and_all_of_it_arrives() {
    let mut pair = Pair::open(Protocol::Any).await;
    pair.proxy.order(|orders| orders.to_server = pass(Pass::Hold)).await.unwrap();
    let bytes = vec![7; 8 << 20];
    let (reading, mut writing) = pair.client.split();
    let mut written = 0;
    // Until the sender has to wait.
    while written < bytes.len() {
        match writing.try_write(&bytes[written..]) {
            Ok(count) => written += count,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                break;
            }
        }
    }
    assert!(written < bytes.len(), "8 MiB wait nowhere");
    pair.proxy.order(|orders| orders.to_server = pass(Pass::Through)).await.unwrap();
    let rest = in_time(async { tokio::join!(writing.write_all(&bytes[written..]), hears(&mut pair.server, &bytes)).0 });
    rest.await.unwrap();
    assert!(reading.try_read(&mut [0]).is_err());
}
