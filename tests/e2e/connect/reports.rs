//! Each write of a worker is guarded by its grant: a worker can not change a run that it does not hold.

use std::time::Duration;

use proto::v1::*;

use crate::support::{Fixture, Stream, failed, failed_for_good, reason, snoozed, spec, succeeded};

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_report_gets_the_first_answer_and_a_different_one_is_refused() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    fixture.enqueue(&session, "any").await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    let lease = stream.begin().await;
    assert_eq!(stream.finish(&lease, failed("First")).await, "");
    let ended = fixture.get(&lease.run_id).await;
    assert_eq!(stream.finish(&lease, failed("First")).await, "");
    for other in [failed("Second"), failed_for_good("First"), succeeded("1")] {
        assert_eq!(stream.finish(&lease, other).await, "OUTCOME_CONFLICT");
    }
    assert_eq!(fixture.get(&lease.run_id).await, ended, "the first report stands, and nothing has changed");
    assert_eq!(fixture.session_now(&session).await.failed_runs, 1, "it is counted once");
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_of_one_grant_in_one_frame_are_accepted_if_they_agree_with_the_first() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    fixture.enqueue(&session, "any").await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    let Lease { run_id, fence } = stream.begin().await;
    let report = |outcome| RunReport { run_id: run_id.clone(), fence, outcome: Some(outcome) };
    let reports = vec![report(succeeded("1")), report(succeeded("1")), report(succeeded("2"))];
    stream.send(connect_request::Frame::Reports(Reports { reports }));
    let mut reasons = Vec::new();
    for _ in 0..3 {
        reasons.push(stream.report_ack().await.reason);
    }
    let run = fixture.get(&run_id).await;
    let accepted = reasons.iter().filter(|reason| reason.is_empty()).count();
    // The server decides which of them is the first.
    assert_eq!(accepted, if run.result_json == "1" { 2 } else { 1 }, "{reasons:?}");
    assert!(reasons.iter().all(|reason| reason.is_empty() || reason == "OUTCOME_CONFLICT"), "{reasons:?}");
    assert_eq!(fixture.session_now(&session).await.succeeded_runs, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_of_an_earlier_attempt_keeps_its_answer() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let spec = RunSpec { max_attempts: Some(2), ..spec(&session, "any") };
    fixture.enqueue_spec(spec).await.expect("it is enqueued");
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    let first = stream.begin().await;
    assert_eq!(stream.finish(&first, failed("First")).await, "");
    stream.credit(2);
    let second = stream.begin().await;
    assert_eq!(second.fence, first.fence + 1);
    let running = fixture.running(&first.run_id).await;
    assert_eq!(stream.finish(&first, failed("First")).await, "");
    assert_eq!(stream.finish(&first, succeeded("1")).await, "OUTCOME_CONFLICT");
    assert_eq!(fixture.get(&first.run_id).await, running);
    assert_eq!(stream.finish(&second, succeeded("2")).await, "");
    assert_eq!(fixture.get(&first.run_id).await.result_json, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_can_not_report_log_or_keep_alive_a_run_of_another_worker() {
    let fixture = Fixture::with(2, |_| {}).await;
    let session = fixture.session().await;
    fixture.enqueue(&session, "any").await;
    let mut holder = Stream::open(&fixture.servers[0]).await;
    holder.credit(1);
    let lease = holder.begin().await;
    let before = fixture.running(&lease.run_id).await;

    let mut other = Stream::open(&fixture.servers[1]).await;
    assert_eq!(other.finish(&lease, succeeded("\"stolen\"")).await, "LEASE_LOST");
    assert_eq!(other.heartbeat(std::slice::from_ref(&lease)).await.lost, std::slice::from_ref(&lease));
    other.log(&lease, 1, &["forged".into()]);
    assert_eq!(other.events_ack().await.reason, "LEASE_LOST");
    other.accept(std::slice::from_ref(&lease));
    assert_eq!(other.revoke().await, lease);
    assert_eq!(fixture.get(&lease.run_id).await, before, "nothing has changed");
    assert_eq!(holder.finish(&lease, succeeded("1")).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_with_a_fence_that_is_not_current_changes_nothing() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let spec = RunSpec { max_attempts: Some(3), ..spec(&session, "any") };
    fixture.enqueue_spec(spec).await.expect("it is enqueued");
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    // The worker gives the run back and gets it again with a newer fence.
    let stale = stream.begin().await;
    assert_eq!(stream.finish(&stale, snoozed(std::time::Duration::ZERO)).await, "");
    stream.credit(2);
    let current = stream.begin().await;
    let before = fixture.running(&current.run_id).await;
    for fence in [stale.fence, current.fence + 1, i64::MAX] {
        let wrong = Lease { run_id: current.run_id.clone(), fence };
        assert_eq!(stream.heartbeat(std::slice::from_ref(&wrong)).await.lost, std::slice::from_ref(&wrong));
        stream.log(&wrong, 1, &["stale".into()]);
        assert_eq!(stream.events_ack().await.reason, "LEASE_LOST");
        let refused = stream.finish(&wrong, succeeded("\"stale\"")).await;
        let expected = if fence == stale.fence { "OUTCOME_CONFLICT" } else { "LEASE_LOST" };
        assert_eq!(refused, expected, "{fence}");
    }
    assert_eq!(fixture.get(&current.run_id).await, before, "nothing has changed");
    assert_eq!(stream.finish(&current, succeeded("1")).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn unary_calls_can_not_change_the_grants_of_a_stream() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    fixture.enqueue(&session, "any").await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    let lease = stream.begin().await;
    let before = fixture.running(&lease.run_id).await;
    let worker_id = stream.welcome.worker_id.clone();

    let heartbeat =
        HeartbeatRequest { worker_id: worker_id.clone(), leases: vec![lease.clone()], progress: Vec::new() };
    let refused = fixture.workers().heartbeat(heartbeat).await.expect_err("its heartbeats come on its stream");
    assert_eq!(reason(&refused), "WORKER_NOT_FOUND");
    let Lease { run_id, fence } = lease.clone();
    let report = RunReport { run_id: run_id.clone(), fence, outcome: Some(succeeded("\"unary\"")) };
    let report = ReportRunRequest { worker_id: worker_id.clone(), report: Some(report) };
    let refused = fixture.workers().report_run(report).await.expect_err("its reports come on its stream");
    assert_eq!(reason(&refused), "LEASE_LOST");
    let entry = EventEntry { content: Some(event_entry::Content::Text("unary".into())), ..Default::default() };
    let events = RunEvents { run_id, fence, first_seq: 1, entries: vec![entry] };
    let append = AppendRunEventsRequest { worker_id, events: Some(events) };
    let refused = fixture.workers().append_run_events(append).await.expect_err("its events come on its stream");
    assert_eq!(reason(&refused), "LEASE_LOST");
    assert_eq!(fixture.get(&lease.run_id).await, before, "nothing has changed");
    assert_eq!(stream.finish(&lease, succeeded("1")).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_has_ended_accepts_no_report_and_no_cancel() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    fixture.enqueue(&session, "any").await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    let lease = stream.begin().await;
    assert_eq!(stream.finish(&lease, succeeded("1")).await, "");
    let ended = fixture.get(&lease.run_id).await;
    assert_eq!(fixture.cancel(&lease.run_id).await, ended);
    assert_eq!(stream.heartbeat(std::slice::from_ref(&lease)).await.lost, std::slice::from_ref(&lease));
    assert_eq!(stream.finish(&lease, snoozed(std::time::Duration::ZERO)).await, "OUTCOME_CONFLICT");
    assert_eq!(fixture.get(&lease.run_id).await, ended);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_can_not_be_stored_is_refused_alone() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    fixture.enqueue_many(&session, "any", 2).await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(2);
    let (good, bad) = (stream.begin().await, stream.begin().await);
    let report =
        |lease: &Lease, outcome| RunReport { run_id: lease.run_id.clone(), fence: lease.fence, outcome: Some(outcome) };
    let reports = vec![report(&bad, succeeded("{")), report(&good, succeeded("1"))];
    stream.send(connect_request::Frame::Reports(Reports { reports }));
    for _ in 0..2 {
        let ack = stream.report_ack().await;
        assert_eq!(ack.reason, if ack.run_id == bad.run_id { "INVALID_FIELD" } else { "" }, "{ack:?}");
    }
    assert_eq!(stream.finish(&bad, succeeded("2")).await, "", "the grant still stands");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_before_the_start_is_refused_and_the_grant_stands() {
    let fixture = Fixture::with(1, |config| config.engine.accept_timeout = Duration::from_secs(600)).await;
    let run = fixture.enqueue(&fixture.session().await, "any").await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    let (_, lease) = stream.assigned().await;
    assert_eq!(stream.finish(&lease, succeeded("1")).await, "PROTOCOL_VIOLATION");
    assert_eq!(fixture.get(&run.id).await.status(), RunStatus::Claimed);
    stream.accept(std::slice::from_ref(&lease));
    assert_eq!(stream.start().await.attempt, 1);
    assert_eq!(stream.finish(&lease, succeeded("2")).await, "");
    assert_eq!(fixture.get(&run.id).await.result_json, "2");
}

/// As after the accept timeout, before the grant is given back.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_of_a_claimed_run_that_its_stream_does_not_have_ends_nothing() {
    let fixture = Fixture::new().await;
    let run = fixture.enqueue(&fixture.session().await, "any").await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    let claimed = "WITH queued AS (DELETE FROM ops.run_queue WHERE run_id = $1::text::uuid)
                   UPDATE ops.runs SET status = 'claimed', worker_id = $2::text::uuid, fence = 1, lease_ms = 30000,
                       claimed_at = now(), heartbeat_at = now()
                   WHERE id = $1::text::uuid";
    let claimed = sqlx::query(claimed).bind(&run.id).bind(&stream.welcome.worker_id);
    claimed.execute(&mut fixture.sql().await).await.expect("it is claimed");
    let lease = Lease { run_id: run.id.clone(), fence: 1 };
    assert_eq!(stream.finish(&lease, succeeded("1")).await, "LEASE_LOST");
    assert_eq!(fixture.get(&run.id).await.status(), RunStatus::Claimed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_with_a_fence_of_zero_is_refused_alone() {
    let fixture = Fixture::new().await;
    fixture.enqueue(&fixture.session().await, "any").await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    let lease = stream.begin().await;
    let zero = Lease { fence: 0, ..lease.clone() };
    assert_eq!(stream.finish(&zero, succeeded("1")).await, "INVALID_FIELD");
    stream.log(&zero, 1, &["line".to_owned()]);
    let refused = stream.events_ack().await;
    assert_eq!((refused.fence, refused.credits, refused.reason.as_str()), (0, 1, "INVALID_FIELD"));
    assert_eq!(stream.finish(&lease, succeeded("1")).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_loses_no_run_whose_report_has_no_answer_yet() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    for total in 1..=60 {
        fixture.enqueue(&session, "any").await;
        stream.credit(total);
        let lease = stream.begin().await;
        stream.report(&lease, succeeded("1"));
        stream.beat(std::slice::from_ref(&lease));
        // Their answers come in any order.
        let (mut is_answered, mut has_beaten) = (false, false);
        while !(is_answered && has_beaten) {
            match stream.answer().await {
                connect_response::Frame::ReportAcks(acks) => {
                    assert!(acks.results[0].accepted, "{acks:?}");
                    is_answered = true;
                }
                connect_response::Frame::HeartbeatAck(ack) => {
                    assert!(is_answered || ack.lost.is_empty(), "its report is on its way");
                    has_beaten = true;
                }
                _ => {}
            }
        }
    }
}
