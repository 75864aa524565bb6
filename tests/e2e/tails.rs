//! A tail delivers every event of a run once, in whatever order the events are stored.

use std::collections::BTreeSet;

use proto::v1::*;
use tonic::Streaming;

use crate::support::{Fixture, Server, Unary, in_time, succeeded};

/// A run that a unary worker executes.
async fn one_run(fixture: &Fixture) -> (Unary, Lease) {
    let session = fixture.session().await;
    fixture.enqueue(&session, "any").await;
    let mut worker = Unary::new(&fixture.servers[0], "logger");
    let lease = worker.take().await;
    (worker, lease)
}

/// Stores events with the numbers from `first` on.
async fn append(server: &Server, worker: &Unary, lease: &Lease, first: i64, levels: &[EventLevel]) {
    let entry = |level: &EventLevel| EventEntry {
        level: (*level).into(),
        content: Some(event_entry::Content::Text("line".into())),
        ..Default::default()
    };
    let events = RunEvents {
        run_id: lease.run_id.clone(),
        fence: lease.fence,
        first_seq: first,
        entries: levels.iter().map(entry).collect(),
    };
    let request = AppendRunEventsRequest { worker_id: worker.worker_id.clone(), events: Some(events) };
    server.workers().append_run_events(request).await.expect("they are stored");
}

struct Tail {
    stream: Streaming<TailRunEventsResponse>,
    token: String,
}

impl Tail {
    async fn open(server: &Server, lease: &Lease, min_level: EventLevel, resume_token: &str) -> Self {
        let request = TailRunEventsRequest {
            run_id: lease.run_id.clone(),
            min_level: min_level.into(),
            resume_token: resume_token.to_owned(),
        };
        let stream = server.runs().tail_run_events(request).await.expect("the run is there").into_inner();
        Self { stream, token: String::new() }
    }

    /// The numbers of the next events; none at the end.
    async fn next(&mut self) -> Option<Vec<i64>> {
        let message = in_time("a message of a tail", self.stream.message()).await.expect("the tail continues")?;
        self.token = message.resume_token;
        Some(message.events.iter().map(|event| event.seq).collect())
    }

    async fn rest(mut self) -> Vec<i64> {
        let mut rest = Vec::new();
        while let Some(some) = self.next().await {
            rest.extend(some);
        }
        rest
    }
}

const INFO: EventLevel = EventLevel::Info;
const DEBUG: EventLevel = EventLevel::Debug;

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_delivers_events_that_are_stored_after_later_ones() {
    let fixture = Fixture::with(2, |_| {}).await;
    let (mut worker, lease) = one_run(&fixture).await;
    let mut tail = Tail::open(&fixture.servers[1], &lease, EventLevel::Unspecified, "").await;
    for seq in [1, 6, 5, 3, 7] {
        append(&fixture.servers[0], &worker, &lease, seq, &[INFO]).await;
        assert_eq!(tail.next().await, Some(vec![seq]));
    }
    append(&fixture.servers[0], &worker, &lease, 1, &[INFO; 4]).await;
    worker.report(&lease, succeeded("1")).await.expect("it is accepted");
    assert_eq!(tail.rest().await, [2, 4], "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_that_resumes_delivers_what_was_stored_behind_its_token() {
    let fixture = Fixture::with(2, |_| {}).await;
    let (mut worker, lease) = one_run(&fixture).await;
    let mut tail = Tail::open(&fixture.servers[0], &lease, EventLevel::Unspecified, "").await;
    for first in [1, 4, 9] {
        append(&fixture.servers[0], &worker, &lease, first, &[INFO]).await;
        assert_eq!(tail.next().await, Some(vec![first]));
    }
    let token = tail.token.clone();
    drop(tail);
    append(&fixture.servers[0], &worker, &lease, 5, &[INFO; 2]).await;
    append(&fixture.servers[0], &worker, &lease, 10, &[INFO]).await;
    let mut tail = Tail::open(&fixture.servers[1], &lease, EventLevel::Unspecified, &token).await;
    assert_eq!(tail.next().await, Some(vec![5, 6]));
    let between = tail.token.clone();
    assert_eq!(tail.next().await, Some(vec![10]));
    append(&fixture.servers[0], &worker, &lease, 2, &[INFO]).await;
    assert_eq!(tail.next().await, Some(vec![2]));
    worker.report(&lease, succeeded("1")).await.expect("it is accepted");
    assert_eq!(tail.next().await, None);
    // A token from the middle repeats nothing before it, and misses nothing after it.
    let tail = Tail::open(&fixture.servers[0], &lease, EventLevel::Unspecified, &between).await;
    assert_eq!(tail.rest().await, [2, 10]);
    let tail = Tail::open(&fixture.servers[0], &lease, EventLevel::Unspecified, "").await;
    assert_eq!(tail.rest().await, [1, 2, 4, 5, 6, 9, 10], "a new tail of an ended run is in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_of_some_levels_delivers_those_that_are_stored_between_others() {
    let fixture = Fixture::new().await;
    let (mut worker, lease) = one_run(&fixture).await;
    let mut tail = Tail::open(&fixture.servers[0], &lease, INFO, "").await;
    // 1 to 4 and 6 to 8 are not delivered, and 5 is stored later, between two of these.
    append(&fixture.servers[0], &worker, &lease, 1, &[DEBUG; 4]).await;
    append(&fixture.servers[0], &worker, &lease, 6, &[DEBUG, DEBUG, DEBUG, INFO]).await;
    assert_eq!(tail.next().await, Some(vec![9]));
    append(&fixture.servers[0], &worker, &lease, 5, &[INFO]).await;
    assert_eq!(tail.next().await, Some(vec![5]));
    append(&fixture.servers[0], &worker, &lease, 10, &[INFO]).await;
    assert_eq!(tail.next().await, Some(vec![10]));
    worker.report(&lease, succeeded("1")).await.expect("it is accepted");
    assert_eq!(tail.next().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn tails_deliver_each_event_of_parallel_appends_at_several_servers_once() {
    let fixture = Fixture::with(2, |_| {}).await;
    let (mut worker, lease) = one_run(&fixture).await;
    let tails = [
        Tail::open(&fixture.servers[0], &lease, EventLevel::Unspecified, "").await,
        Tail::open(&fixture.servers[1], &lease, EventLevel::Unspecified, "").await,
    ];
    let calls =
        (0..80).map(|call| append(&fixture.servers[call % 2], &worker, &lease, 1 + call as i64 * 5, &[INFO; 5]));
    let calls: Vec<_> = calls.collect();
    // Four at a time.
    use futures::StreamExt;
    futures::stream::iter(calls).for_each_concurrent(4, |call| call).await;
    worker.report(&lease, succeeded("1")).await.expect("it is accepted");
    for tail in tails {
        let delivered = tail.rest().await;
        assert_eq!(delivered.len(), 400, "each once");
        assert_eq!(delivered.into_iter().collect::<BTreeSet<_>>(), (1..=400).collect());
    }
}
