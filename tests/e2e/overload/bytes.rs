//! A few requests whose total size is over the limit.

use proto::v1::connect_response::Frame as Out;
use proto::v1::*;
use tokio::task::JoinSet;

use super::{assert_overloaded, busy};
use crate::support::{Fixture, Stream, eventually, resume, spec, succeeded, waiting_for_locks};

const MIB: usize = 1 << 20;

/// JSON of so many bytes.
fn json(bytes: usize) -> String {
    format!("{{\"x\":\"{}\"}}", "x".repeat(bytes - 8))
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_over_the_byte_limit_are_refused_and_workers_have_a_limit_of_their_own() {
    let fixture = Fixture::with(1, |config| {
        config.database.deadline = std::time::Duration::from_secs(60);
        config.limits.request_bytes = 16 * MIB as u32;
    })
    .await;
    let session = fixture.session().await;
    let (mut stream, lease) = busy(&fixture, &session).await;
    let mut foreign = fixture.sql().await;
    let lock = "BEGIN; LOCK TABLE ops.session_deltas IN SHARE MODE";
    sqlx::raw_sql(lock).execute(&mut foreign).await.expect("it is locked");
    let heavy = RunSpec { params: Some(run_spec::Params::ParamsJson(json(MIB))), ..spec(&session, "heavy") };
    let (mut runs, request) = (fixture.runs(), EnqueueRunsRequest { runs: vec![heavy.clone(); 15] });
    let mut first = JoinSet::new();
    first.spawn(async move { runs.enqueue_runs(request).await });
    waiting_for_locks(&fixture, &mut fixture.sql().await, 1).await;

    let refused = fixture.enqueue_spec(heavy.clone()).await.expect_err("there is no room");
    assert_overloaded(&refused);
    let entry = EventEntry { content: Some(event_entry::Content::Text("x".repeat(60_000))), ..Default::default() };
    let request = AppendRunEventsRequest {
        worker_id: stream.welcome.worker_id.clone(),
        events: Some(RunEvents { run_id: lease.run_id.clone(), fence: 99, first_seq: 1, entries: vec![entry; 20] }),
    };
    let other = fixture.workers().append_run_events(request).await.expect_err("it has no such lease");
    assert_eq!(other.code(), tonic::Code::FailedPrecondition, "calls of workers have their own limit: {other:?}");
    assert!(!stream.heartbeat(std::slice::from_ref(&lease)).await.frozen);

    sqlx::raw_sql("ROLLBACK").execute(&mut foreign).await.expect("it is unlocked");
    first.join_next().await.expect("it was called").expect("no panic").expect("it was taken");
    fixture.enqueue_spec(heavy).await.expect("there is room again");
}

#[tokio::test(flavor = "multi_thread")]
async fn results_over_the_limit_end_the_stream_and_are_sent_again() {
    let fixture = Fixture::with(1, |config| {
        config.database.deadline = std::time::Duration::from_secs(60);
        config.engine.stream_bytes = MIB as u32;
    })
    .await;
    let session = fixture.session().await;
    let (mut stream, first) = busy(&fixture, &session).await;
    fixture.enqueue(&session, "any").await;
    stream.credit(2);
    let second = stream.begin().await;
    fixture.running(&second.run_id).await;
    // Every result waits for this lock.
    let mut foreign = fixture.sql().await;
    let lock = "BEGIN; LOCK TABLE ops.session_deltas IN SHARE MODE";
    sqlx::raw_sql(lock).execute(&mut foreign).await.expect("it is locked");
    let result = succeeded(&json(MIB * 2 / 3));
    stream.report(&first, result.clone());
    waiting_for_locks(&fixture, &mut fixture.sql().await, 1).await;
    assert!(!stream.heartbeat(&[first.clone(), second.clone()]).await.frozen, "one result may wait");
    stream.report(&second, result.clone());
    assert_overloaded(&stream.end().await.expect("it is ended"));

    sqlx::raw_sql("ROLLBACK").execute(&mut foreign).await.expect("it is unlocked");
    // Submitted results leave the limit when they are done or dropped. Until then the worker is refused again.
    let (held, welcome) = ([first.clone(), second.clone()], stream.welcome);
    for lease in &held {
        eventually("there is room again", async || {
            let mut stream = Stream::open_with(&fixture.servers[0], resume(&welcome, &held)).await;
            stream.report(lease, result.clone());
            let acks = |frame| match frame {
                Out::ReportAcks(acks) => Some(acks),
                _ => None,
            };
            let acks = stream.next_unless_ended(acks).await?;
            assert_eq!(acks.results[0].reason, "", "the same again gets the first answer");
            Some(())
        })
        .await;
        assert_eq!(fixture.get(&lease.run_id).await.status(), RunStatus::Succeeded);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn log_events_over_the_limit_end_the_stream_and_keep_the_run() {
    let fixture = Fixture::with(1, |config| {
        config.database.deadline = std::time::Duration::from_secs(60);
        config.engine.stream_bytes = MIB as u32;
    })
    .await;
    let session = fixture.session().await;
    let (mut stream, lease) = busy(&fixture, &session).await;
    let mut foreign = fixture.sql().await;
    let lock = "BEGIN; LOCK TABLE ops.run_events IN SHARE MODE";
    sqlx::raw_sql(lock).execute(&mut foreign).await.expect("it is locked");
    let line = "x".repeat(60_000);
    for seq in 1..=40 {
        stream.log(&lease, seq, std::slice::from_ref(&line));
    }
    assert_overloaded(&stream.end().await.expect("it is ended"));

    sqlx::raw_sql("ROLLBACK").execute(&mut foreign).await.expect("it is unlocked");
    // Submitted events are written and leave the limit. Until then the worker is refused again.
    let welcome = stream.welcome;
    let mut stream = eventually("there is room again", async || {
        let mut stream = Stream::open_with(&fixture.servers[0], resume(&welcome, std::slice::from_ref(&lease))).await;
        assert_eq!(stream.welcome.standing, std::slice::from_ref(&lease));
        stream.log(&lease, 1, &vec![line.clone(); 10]);
        let ack = |frame| match frame {
            Out::EventsAck(ack) => Some(ack),
            _ => None,
        };
        let ack = stream.next_unless_ended(ack).await?;
        assert_eq!(ack.reason, "");
        Some(stream)
    })
    .await;
    assert_eq!(stream.finish(&lease, succeeded("1")).await, "");
}
