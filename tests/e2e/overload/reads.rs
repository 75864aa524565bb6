//! More reads than the database answers.

use proto::v1::*;
use tokio::task::JoinSet;

use super::{assert_overloaded, busy};
use crate::support::{Fixture, reason, succeeded};

/// More reads than may wait for a connection; each further one is refused at once.
const READS: usize = 1_500;

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_reads_is_refused_and_delays_no_heartbeat_cancel_or_result() {
    let fixture = Fixture::with(1, |config| config.database.deadline = std::time::Duration::from_secs(60)).await;
    let session = fixture.session().await;
    let (mut stream, lease) = busy(&fixture, &session).await;
    // Every read of artifacts waits for this lock.
    let mut foreign = fixture.sql().await;
    let lock = "BEGIN; LOCK TABLE ops.artifacts IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut foreign).await.expect("it is locked");
    let mut clients = Vec::new();
    for _ in 0..30 {
        clients.push(fixture.servers[0].dial().await);
    }
    let parent = Some(list_artifacts_request::Parent::RunId(lease.run_id.clone()));
    let mut reads = JoinSet::new();
    for read in 0..READS {
        let mut artifacts = clients[read % clients.len()].artifacts();
        let request = ListArtifactsRequest { parent: parent.clone(), ..Default::default() };
        reads.spawn(async move { artifacts.list_artifacts(request).await });
    }
    let refused = reads.join_next().await.expect("there are reads").expect("the callers do not panic");
    assert_overloaded(&refused.expect_err("it is too much"));

    for _ in 0..3 {
        let ack = stream.heartbeat(std::slice::from_ref(&lease)).await;
        assert!(!ack.frozen && ack.lost.is_empty(), "heartbeats do not wait");
    }
    fixture.cancel(&lease.run_id).await;
    assert_eq!(stream.cancel().await.run_id, lease.run_id);
    assert_eq!(stream.finish(&lease, succeeded("1")).await, "");
    fixture.enqueue(&session, "any").await;

    sqlx::raw_sql("ROLLBACK").execute(&mut foreign).await.expect("it is unlocked");
    while let Some(answer) = reads.join_next().await {
        if let Err(refused) = answer.expect("the callers do not panic") {
            // On a busy machine some reads may have waited so long that they report an outage.
            assert!(["OVERLOADED", "DATABASE_UNAVAILABLE"].contains(&&*reason(&refused)), "{refused:?}");
        }
    }
    let request = ListArtifactsRequest { parent: parent.clone(), ..Default::default() };
    fixture.artifacts().list_artifacts(request).await.expect("it is over");
}
