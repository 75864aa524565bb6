//! A worker loses its stream and resumes, at any replica.

use proto::v1::connect_response::Frame as Out;
use proto::v1::*;

use crate::support::{Fixture, Stream, cancelled, failed, passes, reason, resume, spec, succeeded};

/// A worker that has started so many runs, of three attempts each.
async fn busy(fixture: &Fixture, session: &str, runs: usize) -> (Stream, Vec<Lease>) {
    let mut stream = Stream::open(&fixture.servers[0]).await;
    let mut leases = Vec::new();
    for total in 1..=runs {
        let spec = RunSpec { max_attempts: Some(3), ..spec(session, "any") };
        fixture.enqueue_spec(spec).await.expect("it is enqueued");
        stream.credit(total as i64);
        let lease = stream.begin().await;
        fixture.running(&lease.run_id).await;
        leases.push(lease);
    }
    (stream, leases)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_resumes_at_another_replica_learns_which_leases_stand_and_continues() {
    let fixture = Fixture::with(2, |_| {}).await;
    let session = fixture.session().await;
    let (first, leases) = busy(&fixture, &session, 2).await;
    let unknown = Lease { run_id: leases[0].run_id.clone(), fence: 7 };
    let held = [leases[0].clone(), unknown, leases[1].clone()];
    let mut second = Stream::open_with(&fixture.servers[1], resume(&first.welcome, &held)).await;
    let welcome = &second.welcome;
    assert_eq!(welcome.worker_id, first.welcome.worker_id);
    assert_eq!(welcome.stream_epoch, first.welcome.stream_epoch + 1);
    let mut standing = welcome.standing.clone();
    standing.sort_by_key(|lease| leases.iter().position(|known| known == lease));
    assert_eq!(standing, leases);

    assert!(second.heartbeat(&leases).await.lost.is_empty());
    for lease in &leases {
        assert_eq!(second.finish(lease, succeeded("1")).await, "");
        let run = fixture.get(&lease.run_id).await;
        assert_eq!((run.status(), run.attempt), (RunStatus::Succeeded, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_started_run_that_a_resume_does_not_name_goes_back_and_spends_no_attempt() {
    let fixture = Fixture::with(2, |_| {}).await;
    let session = fixture.session().await;
    let (first, leases) = busy(&fixture, &session, 2).await;
    let second = Stream::open_with(&fixture.servers[1], resume(&first.welcome, &leases[..1])).await;
    assert_eq!(second.welcome.standing, leases[..1]);
    let back = fixture.get(&leases[1].run_id).await;
    assert_eq!((back.status(), back.attempt), (RunStatus::Queued, 0));

    let mut other = Stream::open(&fixture.servers[1]).await;
    other.credit(1);
    let (_, again) = other.assigned().await;
    assert_eq!(again, Lease { run_id: leases[1].run_id.clone(), fence: 2 });
    other.accept(&[again]);
    assert_eq!(other.start().await.attempt, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resume_with_a_wrong_secret_makes_a_new_worker_and_changes_nothing() {
    let fixture = Fixture::with(2, |_| {}).await;
    let session = fixture.session().await;
    let (mut first, leases) = busy(&fixture, &session, 1).await;
    let mut guess = resume(&first.welcome, &[]);
    guess.resume.as_mut().expect("it resumes").secret.push('x');
    let newcomer = Stream::open_with(&fixture.servers[1], guess).await;
    assert_ne!(newcomer.welcome.worker_id, first.welcome.worker_id);
    assert!(newcomer.welcome.standing.is_empty());
    assert!(first.heartbeat(&leases).await.lost.is_empty(), "the first stream still belongs to the worker");
    assert_eq!(first.finish(&leases[0], succeeded("1")).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_resume_gives_back_no_run_that_was_started_since() {
    let fixture = Fixture::with(2, |_| {}).await;
    let session = fixture.session().await;
    let (first, leases) = busy(&fixture, &session, 1).await;
    let numbered = |held: &[Lease], sequence: i64| {
        let mut hello = resume(&first.welcome, held);
        hello.resume.as_mut().expect("it resumes").sequence = sequence;
        hello
    };
    let mut second = Stream::open_with(&fixture.servers[1], numbered(&leases, 2)).await;
    second.credit(1);
    fixture.enqueue(&session, "any").await;
    let since = second.begin().await;
    fixture.running(&since.run_id).await;

    // A resume that the worker gave up and the first server reads only now, and a copy of the resume that was accepted.
    for sequence in [1, 2] {
        let late =
            Stream::try_open_with(&fixture.servers[0], numbered(&leases, sequence)).await.expect_err("it is late");
        assert_eq!((late.code(), reason(&late)), (tonic::Code::Aborted, "STREAM_REPLACED".into()));
    }
    assert!(second.heartbeat(&[leases[0].clone(), since.clone()]).await.lost.is_empty());
    assert_eq!(second.finish(&since, succeeded("1")).await, "");
    assert_eq!(fixture.get(&since.run_id).await.attempt, 1);

    let third = Stream::open_with(&fixture.servers[0], numbered(&leases, 3)).await;
    assert_eq!((third.welcome.stream_epoch, &third.welcome.standing), (second.welcome.stream_epoch + 1, &leases));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_stream_ends_the_older_one_at_the_same_replica() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let (mut first, leases) = busy(&fixture, &session, 1).await;
    let second = Stream::open_with(&fixture.servers[0], resume(&first.welcome, &leases)).await;
    assert_eq!(second.welcome.standing, leases);
    let ended = first.end().await.expect("it is ended");
    assert_eq!((ended.code(), reason(&ended)), (tonic::Code::Aborted, "STREAM_REPLACED".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_repeated_after_a_resume_gets_the_same_answer() {
    let fixture = Fixture::with(2, |_| {}).await;
    let session = fixture.session().await;
    let (mut first, leases) = busy(&fixture, &session, 1).await;
    assert_eq!(first.finish(&leases[0], succeeded("1")).await, "");
    let ended = fixture.get(&leases[0].run_id).await;
    let mut second = Stream::open_with(&fixture.servers[1], resume(&first.welcome, &leases)).await;
    assert!(second.welcome.standing.is_empty());
    assert_eq!(second.finish(&leases[0], succeeded("1")).await, "");
    assert_eq!(second.finish(&leases[0], succeeded("2")).await, "OUTCOME_CONFLICT");
    assert_eq!(fixture.get(&leases[0].run_id).await, ended);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missed_cancel_is_sent_after_the_resume() {
    let fixture = Fixture::with(2, |_| {}).await;
    let session = fixture.session().await;
    let (first, leases) = busy(&fixture, &session, 1).await;
    let welcome = first.welcome.clone();
    drop(first);
    fixture.cancel(&leases[0].run_id).await;
    let mut second = Stream::open_with(&fixture.servers[1], resume(&welcome, &leases)).await;
    let cancel = second.cancel().await;
    assert_eq!((&cancel.run_id, cancel.fence, cancel.reason.as_str()), (&leases[0].run_id, leases[0].fence, "no more"));
    assert_eq!(second.finish(&leases[0], cancelled()).await, "");
    assert_eq!(fixture.get(&leases[0].run_id).await.status(), RunStatus::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn credit_starts_again_with_each_hello() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let (first, leases) = busy(&fixture, &session, 2).await;
    let mut second = Stream::open_with(&fixture.servers[0], resume(&first.welcome, &leases)).await;
    fixture.enqueue(&session, "any").await;
    assert!(!second.rest().await.iter().any(|frame| matches!(frame, Out::Assignments(_))));
    second.credit(1);
    second.begin().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resume_says_what_became_of_each_grant_that_does_not_stand() {
    let fixture = Fixture::with(2, |_| {}).await;
    let session = fixture.session().await;
    let (mut first, leases) = busy(&fixture, &session, 4).await;
    let [reported, retried, lost, standing] = <[Lease; 4]>::try_from(leases).expect("four");
    first.report(&reported, succeeded("1"));
    assert_eq!(first.report_ack().await.reason, "");
    assert_eq!(first.finish(&retried, failed("Broken")).await, "");
    fixture.cancel(&lost.run_id).await;
    passes(&mut fixture.sql().await, 20).await;
    fixture.ended(&lost.run_id).await;
    let welcome = first.welcome.clone();
    drop(first);
    // As a worker that got none of these answers.
    let held = [reported.clone(), retried.clone(), lost.clone(), standing.clone()];
    let mut second = Stream::open_with(&fixture.servers[1], resume(&welcome, &held)).await;
    assert_eq!(second.welcome.standing, std::slice::from_ref(&standing));
    let settled = std::mem::take(&mut second.welcome.settled);
    let settled = |lease: &Lease| {
        let it = settled.iter().find(|it| (&it.run_id, it.fence) == (&lease.run_id, lease.fence));
        it.map(|it| (it.accepted, it.reason.clone()))
    };
    assert_eq!(settled(&reported), Some((true, String::new())));
    assert_eq!(settled(&retried), Some((true, String::new())));
    assert_eq!(settled(&lost), Some((false, "LEASE_LOST".to_owned())));
    assert_eq!(settled(&standing), None);
}
