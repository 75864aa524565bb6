//! A run's log: each line is kept once, has credits of its own, and never delays heartbeats.

use proto::v1::connect_response::Frame as Out;
use proto::v1::*;

use crate::support::{Fixture, Stream, in_time, reason, succeeded};

async fn one_run(fixture: &Fixture) -> (Stream, Lease) {
    let session = fixture.session().await;
    fixture.enqueue(&session, "any").await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    let lease = stream.begin().await;
    (stream, lease)
}

fn lines(first: usize, count: usize) -> Vec<String> {
    (first..first + count).map(|line| format!("line {line}")).collect()
}

/// All lines of a run's log.
async fn log_of(fixture: &Fixture, run_id: &str) -> Vec<(i64, String)> {
    let request = TailRunEventsRequest { run_id: run_id.to_owned(), ..Default::default() };
    let mut tail = fixture.runs().tail_run_events(request).await.expect("the run is there").into_inner();
    let mut log = Vec::new();
    while let Some(some) = in_time("a message of a tail", tail.message()).await.expect("the tail continues") {
        log.extend(some.events.into_iter().map(|event| (event.seq, event.message)));
    }
    log
}

#[tokio::test(flavor = "multi_thread")]
async fn events_sent_again_are_kept_once() {
    let fixture = Fixture::new().await;
    let (mut stream, lease) = one_run(&fixture).await;
    for (first, count) in [(1, 3), (1, 3), (2, 4), (6, 1)] {
        stream.log(&lease, first, &lines(first as usize, count));
        let ack = stream.events_ack().await;
        assert_eq!((ack.through_seq, ack.credits, ack.reason.as_str()), (first + count as i64 - 1, count as u32, ""));
    }
    assert_eq!(stream.finish(&lease, succeeded("1")).await, "");
    let expected: Vec<(i64, String)> = (1..=6).map(|seq| (seq, format!("line {seq}"))).collect();
    assert_eq!(log_of(&fixture, &lease.run_id).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_logs_beyond_its_credits_is_cut_off() {
    let fixture = Fixture::with(1, |config| config.engine.event_credits = 10).await;
    let (mut stream, lease) = one_run(&fixture).await;
    assert_eq!(stream.welcome.event_credits, 10);
    for batch in 0..3 {
        let first = 1 + batch * 10;
        stream.log(&lease, first, &lines(first as usize, 10));
        assert_eq!(stream.events_ack().await.credits, 10, "credits come back");
    }
    stream.log(&lease, 31, &lines(31, 11));
    let refused = stream.end().await.expect("it is cut off");
    assert_eq!((refused.code(), reason(&refused)), (tonic::Code::ResourceExhausted, "EVENT_CREDITS_EXCEEDED".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_can_not_be_stored_are_refused_alone_and_their_credits_come_back() {
    let fixture = Fixture::with(1, |config| config.engine.event_credits = 10).await;
    let (mut stream, lease) = one_run(&fixture).await;
    for _ in 0..5 {
        stream.log(&lease, 1, &vec!["NUL \0".to_owned(); 10]);
        let ack = stream.events_ack().await;
        assert_eq!((ack.reason.as_str(), ack.credits), ("INVALID_FIELD", 10));
    }
    stream.log(&lease, 1, &lines(1, 10));
    assert_eq!(stream.events_ack().await.reason, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_are_answered_while_no_event_can_be_stored() {
    let fixture = Fixture::new().await;
    let (mut stream, lease) = one_run(&fixture).await;
    // Every event waits for this lock.
    let mut foreign = fixture.sql().await;
    let lock = "BEGIN; LOCK TABLE ops.run_events IN SHARE MODE";
    sqlx::raw_sql(lock).execute(&mut foreign).await.expect("it is locked");
    let credits = stream.welcome.event_credits as usize;
    for line in 0..credits {
        stream.log(&lease, 1 + line as i64, &lines(1 + line, 1));
    }
    for _ in 0..20 {
        let ack = stream.heartbeat(std::slice::from_ref(&lease)).await;
        assert_eq!((ack.lost.len(), ack.frozen), (0, false));
    }
    let kept = stream.rest().await.iter().filter(|frame| matches!(frame, Out::EventsAck(_))).count();
    assert_eq!(kept, 0, "all heartbeats overtook the events");
    sqlx::raw_sql("ROLLBACK").execute(&mut foreign).await.expect("it is unlocked");
    for line in 0..credits {
        assert_eq!(stream.events_ack().await.through_seq, 1 + line as i64, "in order");
    }
    assert_eq!(stream.finish(&lease, succeeded("1")).await, "");
    assert_eq!(log_of(&fixture, &lease.run_id).await.len(), credits);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_delivers_each_line_as_it_comes_and_ends_with_the_run() {
    let fixture = Fixture::with(2, |_| {}).await;
    let (mut stream, lease) = one_run(&fixture).await;
    let request = TailRunEventsRequest { run_id: lease.run_id.clone(), ..Default::default() };
    let tail = fixture.servers[1].runs().tail_run_events(request).await.expect("the run is there");
    let mut tail = tail.into_inner();
    for line in 1..=20 {
        stream.log(&lease, line, &lines(line as usize, 1));
        let some =
            in_time("a message of a tail", tail.message()).await.expect("the tail continues").expect("the run goes on");
        let seqs: Vec<i64> = some.events.iter().map(|event| event.seq).collect();
        assert_eq!(seqs, [line]);
    }
    assert_eq!(stream.finish(&lease, succeeded("1")).await, "");
    assert!(in_time("the end of the tail", tail.message()).await.expect("it ends well").is_none());
}
