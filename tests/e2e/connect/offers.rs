//! Runs are assigned, accepted and started; runs that are not started go back.

use std::time::Duration;

use proto::v1::connect_request::Frame as In;
use proto::v1::connect_response::Frame as Out;
use proto::v1::*;

use crate::support::{Fixture, Stream, eventually, succeeded};

/// Short enough to wait for, and long enough to accept a run on a busy machine.
fn short_accept_timeout(config: &mut server::Config) {
    config.engine.accept_timeout = Duration::from_millis(500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_gets_as_many_runs_as_it_has_credit_for_the_best_first() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let mut best = Vec::new();
    for priority in [0, 5, 9, -3] {
        let spec = RunSpec { priority, ..crate::support::spec(&session, "any") };
        best.push((priority, fixture.enqueue_spec(spec).await.expect("it is enqueued").id));
    }
    best.sort_by_key(|(priority, _)| -priority);
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(2);
    for (_, id) in &best[..2] {
        assert_eq!(stream.assigned().await.0.id, *id);
    }
    // The third run goes to another worker with its first fence: nobody had it before.
    let mut other = Stream::open(&fixture.servers[0]).await;
    other.credit(1);
    assert_eq!(other.assigned().await.1, Lease { run_id: best[2].1.clone(), fence: 1 });
    stream.credit(3);
    assert_eq!(stream.assigned().await.1, Lease { run_id: best[3].1.clone(), fence: 1 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_gets_only_runs_of_its_lanes_and_kinds() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let run = async |lane: Lane, kind: &str| {
        let spec = RunSpec { lane: lane.into(), ..crate::support::spec(&session, kind) };
        fixture.enqueue_spec(spec).await.expect("it is enqueued").id
    };
    let (other_lane, other_kind) = (run(Lane::B, "mine").await, run(Lane::A, "other").await);
    let hello = Hello { kinds: vec!["mine".into()], ..crate::support::hello("choosy") };
    let mut stream = Stream::open_with(&fixture.servers[0], hello).await;
    stream.credit(3);
    let mine = run(Lane::A, "mine").await;
    assert_eq!(stream.assigned().await.0.id, mine);
    assert!(!stream.rest().await.iter().any(|frame| matches!(frame, Out::Assignments(_))));
    for id in [other_lane, other_kind] {
        assert_eq!(fixture.get(&id).await.status(), RunStatus::Queued);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn start_follows_accept_and_only_a_started_attempt_counts() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let run = fixture.enqueue(&session, "any").await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    let (given, lease) = stream.assigned().await;
    assert_eq!((given.status(), given.attempt, given.fence), (RunStatus::Claimed, 0, 1));
    assert!(!stream.rest().await.iter().any(|frame| matches!(frame, Out::Starts(_))), "nothing starts unaccepted");
    let claimed = fixture.get(&run.id).await;
    assert_eq!((claimed.status(), claimed.attempt, claimed.start_time), (RunStatus::Claimed, 0, None));

    stream.accept(std::slice::from_ref(&lease));
    let start = stream.start().await;
    assert_eq!((start.run_id.as_str(), start.fence, start.attempt), (run.id.as_str(), 1, 1));
    assert_eq!(fixture.running(&run.id).await.attempt, 1);
    stream.accept(std::slice::from_ref(&lease));
    assert!(stream.rest().await.is_empty(), "a start is sent once");
    assert_eq!(stream.finish(&lease, succeeded("1")).await, "");
    assert_eq!(fixture.get(&run.id).await.attempt, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_not_accepted_in_time_goes_to_another_worker_and_a_late_accept_is_revoked() {
    let fixture = Fixture::with(1, short_accept_timeout).await;
    let session = fixture.session().await;
    let run = fixture.enqueue(&session, "any").await;
    let mut late = Stream::open(&fixture.servers[0]).await;
    late.credit(1);
    let (_, lease) = late.assigned().await;
    assert_eq!(late.revoke().await, lease);
    let mut other = Stream::open(&fixture.servers[0]).await;
    other.credit(1);
    let (again, second) = other.assigned().await;
    other.accept(std::slice::from_ref(&second));
    assert_eq!((&again.id, second.fence), (&run.id, 2));
    assert_eq!(other.start().await.attempt, 1, "no attempt was spent");

    late.accept(std::slice::from_ref(&lease));
    assert_eq!(late.revoke().await, lease);
    assert!(!late.rest().await.iter().any(|frame| matches!(frame, Out::Starts(_))));
    assert_eq!(late.finish(&lease, succeeded("1")).await, "LEASE_LOST");
    assert_eq!(other.finish(&second, succeeded("2")).await, "");
    assert_eq!(fixture.get(&run.id).await.result_json, "2");
}

/// The end of a lease would count an attempt, and this run has only one.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_a_silent_worker_does_not_accept_goes_back_before_its_lease_ends() {
    let fixture = Fixture::with(1, |config| config.engine.lease_timeout = Duration::from_secs(2)).await;
    let run = fixture.enqueue(&fixture.session().await, "any").await;
    let mut silent = Stream::open(&fixture.servers[0]).await;
    silent.credit(3);
    for fence in 1..=3 {
        let (given, lease) = silent.assigned().await;
        assert_eq!((&given.id, given.attempt, lease.fence), (&run.id, 0, fence));
        assert_eq!(silent.revoke().await, lease);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_lost_before_start_gives_its_runs_back_at_once_and_spends_no_attempt() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let run = fixture.enqueue(&session, "any").await;
    let mut lost = Stream::open(&fixture.servers[0]).await;
    lost.credit(1);
    lost.assigned().await;
    drop(lost);
    let mut other = Stream::open(&fixture.servers[0]).await;
    other.credit(1);
    // Well before the lease of 30 s and the accept timeout of 5 s: only the lost stream can have given it back.
    let (again, lease) = other.assigned().await;
    assert_eq!((again.id.as_str(), again.attempt, lease.fence), (run.id.as_str(), 0, 2));
    let since = "SELECT (max(updated_at) - min(claimed_at)) < interval '5 s' FROM ops.runs";
    let soon: bool = sqlx::query_scalar(since).fetch_one(&mut fixture.sql().await).await.expect("it is compared");
    assert!(soon);
}

#[tokio::test(flavor = "multi_thread")]
async fn goodbye_gives_back_unstarted_runs_and_keeps_started_ones() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let started = fixture.enqueue(&session, "any").await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(2);
    let lease = stream.begin().await;
    let waiting = fixture.enqueue(&session, "any").await;
    assert_eq!(stream.assigned().await.0.id, waiting.id);
    stream.send(In::Goodbye(Goodbye::default()));
    assert!(stream.end().await.is_none());
    let back = eventually("it is given back", async || {
        Some(fixture.get(&waiting.id).await).filter(|run| run.status() == RunStatus::Queued)
    })
    .await;
    assert_eq!((back.attempt, back.wait_reason()), (0, WaitReason::Unspecified));
    let kept = fixture.get(&started.id).await;
    assert_eq!((kept.status(), kept.fence), (RunStatus::Running, lease.fence));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_stays_leased_when_the_stream_is_lost_after_its_start() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let run = fixture.enqueue(&session, "any").await;
    let mut lost = Stream::open(&fixture.servers[0]).await;
    lost.credit(1);
    lost.begin().await;
    let id = lost.welcome.worker_id.clone();
    drop(lost);
    eventually("the loss is noticed", async || {
        let states = vec![WorkerState::Disconnected.into()];
        let listed = fixture.workers().list_workers(ListWorkersRequest { states, ..Default::default() }).await;
        listed.expect("they are listed").into_inner().workers.into_iter().find(|worker| worker.id == id)
    })
    .await;
    let mut other = Stream::open(&fixture.servers[0]).await;
    other.credit(2);
    // The run is not offered, because a run enqueued later overtakes it.
    let later = fixture.enqueue(&session, "any").await;
    assert_eq!(other.assigned().await.0.id, later.id);
    let kept = fixture.get(&run.id).await;
    assert_eq!((kept.status(), kept.attempt, kept.fence), (RunStatus::Running, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_given_back_ten_times_undelivered_waits_with_a_reason() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let run = fixture.enqueue(&session, "any").await;
    for fence in 1..=10 {
        let mut stream = Stream::open(&fixture.servers[0]).await;
        stream.credit(1);
        assert_eq!(stream.assigned().await.1, Lease { run_id: run.id.clone(), fence });
    }
    let held = eventually("it is held", async || {
        Some(fixture.get(&run.id).await).filter(|run| run.status() == RunStatus::Queued)
    })
    .await;
    assert_eq!((held.wait_reason(), held.attempt), (WaitReason::Undelivered, 0));

    // When its time comes, it is offered again.
    let due = "UPDATE ops.runs SET run_after = now() - interval '1 s' WHERE wait_reason = 'undelivered'";
    sqlx::query(due).execute(&mut fixture.sql().await).await.expect("its time comes");
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    assert_eq!(stream.begin().await, Lease { run_id: run.id.clone(), fence: 11 });
}
