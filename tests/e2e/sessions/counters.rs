//! The counters are exact at every moment, folded or not.

use proto::v1::*;
use serde_json::Value;

use crate::support::{Fixture, Handle, LiveWorker, Stream, eventually, failed, succeeded};

fn counters(session: &Session) -> [i64; 4] {
    [session.total_runs, session.succeeded_runs, session.failed_runs, session.cancelled_runs]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_answered_change_is_counted_at_once() {
    let fixture = Fixture::with(2, |_| {}).await;
    let session = fixture.session().await;
    let mut expected = [0; 4];
    let mut stream = Stream::open(&fixture.servers[0]).await;
    for pass in 1..=5 {
        fixture.enqueue_many(&session, "any", 3).await;
        expected[0] += 3;
        assert_eq!(counters(&fixture.session_now(&session).await), expected);
        stream.credit(pass * 3);
        let leases = [stream.begin().await, stream.begin().await, stream.begin().await];
        assert_eq!(stream.finish(&leases[0], succeeded("1")).await, "");
        expected[1] += 1;
        assert_eq!(counters(&fixture.session_now(&session).await), expected);
        assert_eq!(stream.finish(&leases[1], failed("Broken")).await, "");
        expected[2] += 1;
        assert_eq!(counters(&fixture.session_now(&session).await), expected);
        fixture.running(&leases[2].run_id).await;
        fixture.cancel(&leases[2].run_id).await;
        assert_eq!(stream.finish(&leases[2], crate::support::cancelled()).await, "");
        expected[3] += 1;
        assert_eq!(counters(&fixture.session_now(&session).await), expected);
        let listed = fixture.sessions().list_sessions(ListSessionsRequest::default()).await.expect("they are listed");
        assert_eq!(counters(&listed.into_inner().sessions[0]), expected);
    }
    // The counters are the same after the fold.
    let mut sql = fixture.sql().await;
    eventually("all is folded", async || {
        let left = sqlx::query_scalar("SELECT count(*) FROM ops.session_deltas").fetch_one(&mut sql).await;
        let left: i64 = left.expect("it is counted");
        (left == 0).then_some(())
    })
    .await;
    assert_eq!(counters(&fixture.session_now(&session).await), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_match_the_runs_at_every_moment_of_a_busy_session() {
    let fixture = Fixture::with(2, |_| {}).await;
    let session = fixture.session().await;
    let half = Handle::new(|context| async move {
        if context.run_id().ends_with(['0', '2', '4', '6', '8', 'a', 'c', 'e']) {
            Ok(Value::Null)
        } else {
            Err(worker::HandlerError::failed("Odd", "an odd run"))
        }
    });
    let crew = [
        LiveWorker::start(&[&fixture.servers[0]], 16, "odd", &half),
        LiveWorker::start(&[&fixture.servers[1]], 16, "odd", &half),
    ];
    let mut sql = fixture.sql().await;
    // One statement sees runs, sums and unfolded counts in one snapshot.
    let differing = "SELECT s.total_runs + d.total - r.total, s.succeeded_runs + d.succeeded - r.succeeded,
                            s.failed_runs + d.failed - r.failed, s.cancelled_runs + d.cancelled - r.cancelled
         FROM ops.sessions s
         CROSS JOIN LATERAL (
             SELECT coalesce(sum(total), 0)::bigint AS total, coalesce(sum(succeeded), 0)::bigint AS succeeded,
                    coalesce(sum(failed), 0)::bigint AS failed, coalesce(sum(cancelled), 0)::bigint AS cancelled
             FROM ops.session_deltas WHERE session_id = s.id) d
         CROSS JOIN LATERAL (
             SELECT count(*) AS total, count(*) FILTER (WHERE status = 'succeeded') AS succeeded,
                    count(*) FILTER (WHERE status = 'failed') AS failed,
                    count(*) FILTER (WHERE status = 'cancelled') AS cancelled
             FROM ops.runs WHERE session_id = s.id) r";
    let mut before = [0; 4];
    for batch in 0.. {
        if batch < 5 {
            fixture.enqueue_many(&session, "odd", 200).await;
        }
        let (a, b, c, d): (i64, i64, i64, i64) = sqlx::query_as(differing).fetch_one(&mut sql).await.expect("compared");
        assert_eq!([a, b, c, d], [0; 4], "counters less runs");
        let now = counters(&fixture.session_now(&session).await);
        assert!(now.iter().zip(before).all(|(now, before)| *now >= before), "{before:?} then {now:?}");
        assert!(now[1] + now[2] + now[3] <= now[0], "{now:?}");
        before = now;
        if now[1] + now[2] == 1_000 {
            break;
        }
    }
    assert!(before[1] > 0 && before[2] > 0, "{before:?}");
    drop(crew);
}
