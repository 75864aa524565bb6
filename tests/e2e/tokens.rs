//! A token that is damaged on its way is refused, whatever its damage.

use proto::v1::*;
use tonic::Code;

use crate::support::{Fixture, Unary, Watcher, in_time, reason, succeeded};

const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Copies of a token with one other letter, at each place.
fn damaged(token: &str) -> Vec<String> {
    let other = |at: usize| {
        let mut letters = token.as_bytes().to_vec();
        let letter = LETTERS.iter().position(|letter| *letter == letters[at]).expect("it is base64");
        letters[at] = LETTERS[letter ^ 1];
        String::from_utf8(letters).expect("they are letters")
    };
    let shorter = (0..token.len()).map(|end| token[..end].to_owned()).skip(1);
    (0..token.len()).map(other).chain(shorter).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_token_of_a_watch_is_refused() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    fixture.enqueue(&session, "any").await;
    let token = Watcher::all(&fixture.servers[0]).await.bookmark().await;
    let mut accepted = Vec::new();
    for token in damaged(&token) {
        let request = WatchRunsRequest { resume_token: token.clone(), ..Default::default() };
        let answer = match fixture.runs().watch_runs(request).await {
            Ok(stream) => in_time("a message", stream.into_inner().message()).await.map(|_| ()),
            Err(status) => Err(status),
        };
        match answer {
            Ok(()) => accepted.push(token),
            Err(status) => {
                assert_eq!((status.code(), reason(&status)), (Code::InvalidArgument, "RESUME_TOKEN_INVALID".into()));
            }
        }
    }
    assert!(accepted.is_empty(), "{token} is accepted as {accepted:?}");
    Watcher::resume(&fixture.servers[0], &token).await.expect("the token itself is good").bookmark().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_token_of_a_tail_is_refused() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    fixture.enqueue(&session, "any").await;
    let mut worker = Unary::new(&fixture.servers[0], "logger");
    let lease = worker.take().await;
    let entry = EventEntry { content: Some(event_entry::Content::Text("line".into())), ..Default::default() };
    let events = RunEvents { run_id: lease.run_id.clone(), fence: lease.fence, first_seq: 1, entries: vec![entry; 10] };
    let request = AppendRunEventsRequest { worker_id: worker.worker_id.clone(), events: Some(events) };
    fixture.workers().append_run_events(request).await.expect("they are stored");
    worker.report(&lease, succeeded("1")).await.expect("it is accepted");
    let tail = |resume_token: String| {
        let request = TailRunEventsRequest { run_id: lease.run_id.clone(), resume_token, ..Default::default() };
        let mut runs = fixture.runs();
        async move { runs.tail_run_events(request).await }
    };
    let mut whole = tail(String::new()).await.expect("the run is there").into_inner();
    let token = whole.message().await.expect("it goes on").expect("there are events").resume_token;
    let mut accepted = Vec::new();
    for token in damaged(&token) {
        match tail(token.clone()).await {
            Ok(_) => accepted.push(token),
            Err(status) => {
                assert_eq!((status.code(), reason(&status)), (Code::InvalidArgument, "RESUME_TOKEN_INVALID".into()));
            }
        }
    }
    assert!(accepted.is_empty(), "{token} is accepted as {accepted:?}");
    tail(token).await.expect("the token itself is good");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_token_of_a_page_is_refused() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    fixture.enqueue_many(&session, "any", 2).await;
    let list = |page_token: String| {
        let request = ListRunsRequest { page_size: 1, page_token, ..Default::default() };
        let mut runs = fixture.runs();
        async move { runs.list_runs(request).await }
    };
    let token = list(String::new()).await.expect("they are listed").into_inner().next_page_token;
    let mut accepted = Vec::new();
    for token in damaged(&token) {
        match list(token.clone()).await {
            Ok(_) => accepted.push(token),
            Err(status) => {
                assert_eq!((status.code(), reason(&status)), (Code::InvalidArgument, "PAGE_TOKEN_INVALID".into()));
            }
        }
    }
    assert!(accepted.is_empty(), "{token} is accepted as {accepted:?}");
    list(token).await.expect("the token itself is good");
}
