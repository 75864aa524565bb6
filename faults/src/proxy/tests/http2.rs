//! The proxy with HTTP/2.

use std::time::Duration;

use super::super::{Protocol, Trap};
use super::{Pair, has_heard_nothing, hears, hears_a_reset, says};

const SETTINGS: u8 = 4;
const HEADERS: u8 = 1;
const DATA: u8 = 0;

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, 0, 0, 0, 0, 1], payload].concat()
}

fn dropped() -> Trap {
    Trap::DropResponse { cut_after: Duration::from_millis(100) }
}

#[tokio::test]
async fn frames_pass_in_pieces_of_any_size() {
    let mut pair = Pair::open(Protocol::Http2).await;
    let all = [frame(SETTINGS, b""), frame(HEADERS, b"headers"), frame(DATA, &[5; 300]), frame(HEADERS, b"")].concat();
    for byte in &all {
        says(&mut pair.server, &[*byte]).await;
    }
    hears(&mut pair.client, &all).await;
    says(&mut pair.client, b"not even a frame").await;
    hears(&mut pair.server, b"not even a frame").await;
}

#[tokio::test]
async fn a_response_is_dropped_and_the_link_is_cut_although_the_request_has_arrived() {
    for response in [frame(HEADERS, b"headers"), frame(DATA, b"data")] {
        let mut pair = Pair::open(Protocol::Http2).await;
        let mut sprung = pair.proxy.sprung();
        pair.proxy.arm(dropped());
        says(&mut pair.client, b"request").await;
        hears(&mut pair.server, b"request").await;
        // Frames that are no response pass.
        let other = [frame(SETTINGS, b"settings"), frame(DATA, b"")].concat();
        says(&mut pair.server, &other).await;
        hears(&mut pair.client, &other).await;
        assert_eq!(*sprung.borrow(), 0);
        says(&mut pair.server, &response).await;
        sprung.wait_for(|count| *count == 1).await.unwrap();
        // Requests until the cut arrive, too.
        says(&mut pair.client, b"another").await;
        hears(&mut pair.server, b"another").await;
        has_heard_nothing(&pair.client);
        hears_a_reset(&mut pair.client).await;
        // It springs once.
        pair.again().await;
        says(&mut pair.server, &response).await;
        hears(&mut pair.client, &response).await;
    }
}

#[tokio::test]
async fn a_trap_that_is_removed_does_not_spring() {
    let mut pair = Pair::open(Protocol::Http2).await;
    pair.proxy.arm(dropped());
    pair.proxy.disarm();
    says(&mut pair.server, &frame(HEADERS, b"headers")).await;
    hears(&mut pair.client, &frame(HEADERS, b"headers")).await;
}
