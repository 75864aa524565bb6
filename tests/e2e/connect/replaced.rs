//! A worker resumes at another server while its older stream stays open, as behind a proxy that has not noticed. The older stream gets no
//! runs, can write nothing, and ends.

use proto::v1::*;
use sqlx::PgConnection;
use tonic::Code;

use crate::support::{Fixture, Stream, eventually, reason, resume, succeeded};

/// Keeps the servers from polling, until it is dropped.
async fn no_poll(fixture: &Fixture) -> PgConnection {
    let mut foreign = fixture.sql().await;
    let lock = "BEGIN; LOCK TABLE ops.lease_service IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut foreign).await.expect("it is locked");
    foreign
}

/// A newer stream of this worker elsewhere, of which the servers get no wakeup.
async fn replace(fixture: &Fixture, stream: &Stream) {
    let raise = "UPDATE ops.workers SET stream_epoch = stream_epoch + 1, heartbeat_at = clock_timestamp()
                 WHERE id = $1::text::uuid";
    let worker = &stream.welcome.worker_id;
    let raised = sqlx::query(raise).bind(worker).execute(&mut fixture.sql().await).await.expect("it is raised");
    assert_eq!(raised.rows_affected(), 1);
}

async fn is_replaced(stream: &mut Stream) {
    let ended = stream.end().await.expect("it is ended");
    assert_eq!((ended.code(), reason(&ended)), (Code::Aborted, "STREAM_REPLACED".into()));
}

/// Status, attempts, and how often in a row the run was not delivered.
async fn delivery(fixture: &Fixture, run_id: &str) -> (String, i32, i32) {
    let run = "SELECT status::text, attempt, undelivered::int FROM ops.runs WHERE id = $1::text::uuid";
    sqlx::query_as(run).bind(run_id).fetch_one(&mut fixture.sql().await).await.expect("it is there")
}

async fn queued_again(fixture: &Fixture, run_id: &str) {
    eventually("the run is queued again", async || {
        (delivery(fixture, run_id).await == ("queued".to_owned(), 0, 0)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stream_ends_when_its_worker_resumes_at_another_server_and_gets_no_run() {
    let fixture = Fixture::with(2, |_| {}).await;
    let session = fixture.session().await;
    let mut first = Stream::open(&fixture.servers[0]).await;
    first.credit(5);
    let mut second = Stream::open_with(&fixture.servers[1], resume(&first.welcome, &[])).await;
    // The first stream sends nothing.
    is_replaced(&mut first).await;
    fixture.enqueue_many(&session, "any", 5).await;
    second.credit(5);
    for _ in 0..5 {
        let lease = second.begin().await;
        assert_eq!(lease.fence, 1, "nobody had it before");
        assert_eq!(second.finish(&lease, succeeded("1")).await, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_stream_ends_although_no_wakeup_arrives() {
    let fixture = Fixture::new().await;
    let mut first = Stream::open(&fixture.servers[0]).await;
    replace(&fixture, &first).await;
    is_replaced(&mut first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_assigned_to_a_replaced_stream_goes_back_when_the_stream_ends_and_counts_as_delivered() {
    let fixture = Fixture::with(1, |config| {
        config.engine.accept_timeout = std::time::Duration::from_secs(600);
    })
    .await;
    let session = fixture.session().await;
    let mut first = Stream::open(&fixture.servers[0]).await;
    let unpolled = no_poll(&fixture).await;
    replace(&fixture, &first).await;
    first.credit(1);
    let run = fixture.enqueue(&session, "any").await;
    let (_, lease) = first.assigned().await;
    assert_eq!(lease.run_id, run.id);
    drop(unpolled);
    is_replaced(&mut first).await;
    queued_again(&fixture, &run.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_on_a_replaced_stream_is_revoked_the_run_goes_back_at_once_and_the_stream_ends() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let mut first = Stream::open(&fixture.servers[0]).await;
    // The server notices when it writes the start, and not before.
    let _unpolled = no_poll(&fixture).await;
    replace(&fixture, &first).await;
    first.credit(1);
    let run = fixture.enqueue(&session, "any").await;
    let lease = first.begin().await;
    assert_eq!(lease.run_id, run.id);
    assert_eq!(first.revoke().await, lease);
    is_replaced(&mut first).await;
    queued_again(&fixture, &run.id).await;
    let mut other = Stream::open(&fixture.servers[0]).await;
    other.credit(1);
    let again = other.begin().await;
    assert_eq!((&again.run_id, again.fence), (&run.id, 2));
    assert_eq!(other.finish(&again, succeeded("1")).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_stream_can_report_nothing_and_log_nothing() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let mut first = Stream::open(&fixture.servers[0]).await;
    first.credit(1);
    fixture.enqueue(&session, "any").await;
    let lease = first.begin().await;
    fixture.running(&lease.run_id).await;
    let _unpolled = no_poll(&fixture).await;
    replace(&fixture, &first).await;
    first.log(&lease, 1, &["old".into()]);
    assert_eq!(first.events_ack().await.reason, "LEASE_LOST");
    assert_eq!(first.finish(&lease, succeeded("\"old\"")).await, "LEASE_LOST");
    assert_eq!(fixture.get(&lease.run_id).await.status(), RunStatus::Running);
    let request = ListRunEventsRequest { run_id: lease.run_id.clone(), ..Default::default() };
    assert!(fixture.runs().list_run_events(request).await.expect("they are listed").into_inner().events.is_empty());

    let mut second = Stream::open_with(&fixture.servers[0], resume(&first.welcome, std::slice::from_ref(&lease))).await;
    assert_eq!(second.finish(&lease, succeeded("\"new\"")).await, "");
    assert_eq!(fixture.get(&lease.run_id).await.result_json, "\"new\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_of_a_replaced_stream_extends_no_lease_and_ends_the_stream() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let mut first = Stream::open(&fixture.servers[0]).await;
    first.credit(1);
    fixture.enqueue(&session, "any").await;
    let lease = first.begin().await;
    let before = fixture.running(&lease.run_id).await.heartbeat_time;
    let _unpolled = no_poll(&fixture).await;
    replace(&fixture, &first).await;
    first.beat(std::slice::from_ref(&lease));
    is_replaced(&mut first).await;
    assert_eq!(fixture.get(&lease.run_id).await.heartbeat_time, before);
}
