//! Calls that wait for runs, and runs that wait.

use std::time::Duration;

use proto::v1::*;

use crate::support::{Fixture, Stream, failed, failed_for_good, in_time, reason, snoozed, spec, succeeded};

async fn wait(fixture: &Fixture, run_id: &str, wait_timeout: Duration) -> Run {
    let wait_timeout = Some(wait_timeout.try_into().expect("a short time"));
    let request = WaitRunRequest { run_id: run_id.to_owned(), wait_timeout };
    let waited = in_time("the answer of a WaitRun", fixture.runs().wait_run(request)).await;
    waited.expect("the run is there").into_inner().run.expect("it is answered")
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_run_answers_when_the_run_ends_also_at_another_replica() {
    let fixture = Fixture::with(2, |_| {}).await;
    let session = fixture.session().await;
    let run = fixture.enqueue(&session, "any").await;
    let mut stream = Stream::open(&fixture.servers[1]).await;
    stream.credit(1);
    let lease = stream.begin().await;
    let waiting = wait(&fixture, &run.id, Duration::from_secs(600));
    let ending = async {
        assert_eq!(stream.finish(&lease, succeeded("1")).await, "");
    };
    let (waited, ()) = tokio::join!(waiting, ending);
    assert_eq!((waited.status(), waited.result_json.as_str()), (RunStatus::Succeeded, "1"));
    assert_eq!(wait(&fixture, &run.id, Duration::from_secs(600)).await, waited, "an ended run is answered at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_run_answers_at_its_deadline_with_the_run_as_it_is() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let run = fixture.enqueue(&session, "any").await;
    assert_eq!(wait(&fixture, &run.id, Duration::from_millis(200)).await, run);
    assert_eq!(wait(&fixture, &run.id, Duration::ZERO).await, run);
    let nobody = WaitRunRequest { run_id: uuid::Uuid::now_v7().to_string(), wait_timeout: None };
    let refused = fixture.runs().wait_run(nobody).await.expect_err("there is no such run");
    assert_eq!(reason(&refused), "RUN_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_for_later_is_not_assigned_before_its_time() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    let now: f64 = sqlx::query_scalar("SELECT extract(epoch FROM clock_timestamp())::float8")
        .fetch_one(&mut fixture.sql().await)
        .await
        .expect("the database has a clock");
    let due = now + 2.0;
    let run_after_time = Some(prost_types::Timestamp { seconds: due as i64, nanos: (due.fract() * 1e9) as i32 });
    let later = RunSpec { run_after_time, ..spec(&session, "any") };
    let later = fixture.enqueue_spec(later).await.expect("it is enqueued");
    assert_eq!((later.status(), later.wait_reason()), (RunStatus::Queued, WaitReason::Scheduled));
    assert_eq!(fixture.get(&later.id).await, later);
    assert_eq!(stream.begin().await.run_id, later.id);
    let punctual = "SELECT claimed_at >= run_after FROM ops.runs";
    let punctual: bool =
        sqlx::query_scalar(punctual).fetch_one(&mut fixture.sql().await).await.expect("it is compared");
    assert!(punctual);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snoozed_attempt_does_not_count_and_comes_again_after_its_delay() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    fixture.enqueue(&session, "any").await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    for total in 1..=3 {
        stream.credit(total);
        let (run, lease) = stream.assigned().await;
        assert_eq!((run.attempt, lease.fence), (0, total));
        stream.accept(std::slice::from_ref(&lease));
        assert_eq!(stream.start().await.attempt, 1);
        assert_eq!(stream.finish(&lease, snoozed(Duration::from_secs(1))).await, "");
        let waiting = fixture.get(&run.id).await;
        assert_eq!(
            (waiting.status(), waiting.wait_reason(), waiting.attempt),
            (RunStatus::Queued, WaitReason::Scheduled, 0)
        );
    }
    stream.credit(4);
    let lease = stream.begin().await;
    assert_eq!(stream.finish(&lease, succeeded("1")).await, "");
    let punctual = "SELECT r.claimed_at - max(g.ended_at) >= interval '1 s' FROM ops.runs r JOIN ops.run_grants g
                    ON g.run_id = r.id GROUP BY r.id";
    let punctual: bool =
        sqlx::query_scalar(punctual).fetch_one(&mut fixture.sql().await).await.expect("it is compared");
    assert!(punctual);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_is_retried_while_attempts_are_left() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let run = fixture.enqueue_spec(RunSpec { max_attempts: Some(3), ..spec(&session, "any") }).await;
    let run = run.expect("it is enqueued");
    let mut stream = Stream::open(&fixture.servers[0]).await;
    for attempt in 1..=3 {
        stream.credit(attempt);
        let (_, lease) = stream.assigned().await;
        stream.accept(std::slice::from_ref(&lease));
        assert_eq!(i64::from(stream.start().await.attempt), attempt);
        assert_eq!(stream.finish(&lease, failed("Broken")).await, "");
        let now = fixture.get(&run.id).await;
        let expected = if attempt < 3 { RunStatus::Queued } else { RunStatus::Failed };
        assert!(now.status() == expected || now.fence > lease.fence, "{now:?}");
        assert_eq!(now.error.as_ref().map(|error| error.r#type.as_str()), Some("Broken"));
    }
    let session = fixture.session_now(&session).await;
    assert_eq!((session.total_runs, session.failed_runs), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permanent_failure_is_not_retried() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let run = fixture.enqueue_spec(RunSpec { max_attempts: Some(3), ..spec(&session, "any") }).await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    let lease = stream.begin().await;
    assert_eq!(stream.finish(&lease, failed_for_good("InvalidParams")).await, "");
    let ended = fixture.get(&run.expect("it is enqueued").id).await;
    assert_eq!((ended.status(), ended.attempt), (RunStatus::Failed, 1));
}
