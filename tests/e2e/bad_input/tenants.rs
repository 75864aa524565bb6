//! No call finds anything of another tenant.

use prost::Message;
use proto::v1::create_artifact_request::Content;
use proto::v1::*;
use tonic::Code;

use super::table::calls::{judge, refused};
use super::table::http2::Ask;
use crate::support::{Fixture, Unary, spec};

/// Moves all rows that exist to another tenant.
async fn move_to_another_tenant(fixture: &Fixture) {
    use sqlx::Connection;
    let mut sql = fixture.sql().await;
    // Triggers and foreign keys are off while all rows move.
    sqlx::raw_sql(
        "SET session_replication_role = replica;
         BEGIN;
         UPDATE ops.sessions SET tenant_id = 'other';
         UPDATE ops.session_deltas SET tenant_id = 'other';
         UPDATE ops.workers SET tenant_id = 'other';
         UPDATE ops.runs SET tenant_id = 'other';
         UPDATE ops.run_queue SET tenant_id = 'other';
         UPDATE ops.run_leases SET tenant_id = 'other';
         UPDATE ops.run_events SET tenant_id = 'other';
         UPDATE ops.artifacts SET tenant_id = 'other';
         COMMIT;",
    )
    .execute(&mut sql)
    .await
    .expect("all rows are moved");
    sql.close().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_of_another_tenant_are_not_found() {
    let fixture = Fixture::new().await;
    let session_id = fixture.session().await;
    fixture.enqueue(&session_id, "any").await;
    let queued = fixture.enqueue(&session_id, "any").await.id;
    let mut worker = Unary::new(&fixture.servers[0], "unary");
    let held = worker.take().await;
    let run_id = held.run_id.clone();
    let create = |run_id: &str| CreateArtifactRequest {
        run_id: run_id.to_owned(),
        kind: "report".into(),
        name: "a.txt".into(),
        content: Some(Content::ContentText("text".into())),
        ..Default::default()
    };
    let artifact = fixture.artifacts().create_artifact(create(&run_id)).await.expect("it is kept").into_inner();
    let artifact_id = artifact.artifact.expect("it is answered").id;
    move_to_another_tenant(&fixture).await;

    let worker_id = worker.worker_id.clone();
    let events = RunEvents { run_id: run_id.clone(), fence: held.fence, first_seq: 1, entries: vec![entry()] };
    let outcome = Some(crate::support::succeeded("1"));
    let report = RunReport { run_id: run_id.clone(), fence: held.fence, outcome };
    let session = "SESSION_NOT_FOUND";
    let run = "RUN_NOT_FOUND";
    let asks = [
        ("SessionService/GetSession", GetSessionRequest { session_id: session_id.clone() }.encode_to_vec(), session),
        (
            "SessionService/CloseSession",
            CloseSessionRequest { session_id: session_id.clone() }.encode_to_vec(),
            session,
        ),
        (
            "SessionService/CancelSession",
            CancelSessionRequest { session_id: session_id.clone(), ..Default::default() }.encode_to_vec(),
            session,
        ),
        (
            "SessionService/UpdateSession",
            UpdateSessionRequest {
                session_id: session_id.clone(),
                update_mask: Some(prost_types::FieldMask { paths: vec!["description".into()] }),
                ..Default::default()
            }
            .encode_to_vec(),
            session,
        ),
        ("RunService/EnqueueRun", EnqueueRunRequest { run: Some(spec(&session_id, "any")) }.encode_to_vec(), session),
        (
            "RunService/EnqueueRuns",
            EnqueueRunsRequest { runs: vec![spec(&session_id, "any")] }.encode_to_vec(),
            session,
        ),
        ("RunService/GetRun", GetRunRequest { run_id: run_id.clone() }.encode_to_vec(), run),
        ("RunService/WaitRun", WaitRunRequest { run_id: run_id.clone(), ..Default::default() }.encode_to_vec(), run),
        ("RunService/CancelRun", CancelRunRequest { run_id: queued, ..Default::default() }.encode_to_vec(), run),
        (
            "RunService/ListRunEvents",
            ListRunEventsRequest { run_id: run_id.clone(), ..Default::default() }.encode_to_vec(),
            run,
        ),
        (
            "RunService/TailRunEvents",
            TailRunEventsRequest { run_id: run_id.clone(), ..Default::default() }.encode_to_vec(),
            run,
        ),
        ("ArtifactService/CreateArtifact", create(&run_id).encode_to_vec(), run),
        ("ArtifactService/GetArtifact", GetArtifactRequest { artifact_id }.encode_to_vec(), "ARTIFACT_NOT_FOUND"),
        (
            "ArtifactService/ListArtifacts",
            ListArtifactsRequest {
                parent: Some(list_artifacts_request::Parent::SessionId(session_id.clone())),
                ..Default::default()
            }
            .encode_to_vec(),
            session,
        ),
        (
            "WorkerService/Heartbeat",
            HeartbeatRequest { worker_id: worker_id.clone(), leases: vec![held], progress: Vec::new() }.encode_to_vec(),
            "WORKER_NOT_FOUND",
        ),
        (
            "WorkerService/ReportRun",
            ReportRunRequest { worker_id: worker_id.clone(), report: Some(report) }.encode_to_vec(),
            run,
        ),
        (
            "WorkerService/AppendRunEvents",
            AppendRunEventsRequest { worker_id: worker_id.clone(), events: Some(events) }.encode_to_vec(),
            run,
        ),
        (
            "WorkerService/DrainWorker",
            DrainWorkerRequest { worker_id: worker_id.clone() }.encode_to_vec(),
            "WORKER_NOT_FOUND",
        ),
        ("WorkerService/UndrainWorker", UndrainWorkerRequest { worker_id }.encode_to_vec(), "WORKER_NOT_FOUND"),
    ];
    for (method, message, reason) in asks {
        let answer = Ask::message(&format!("ops.v1.{method}"), &message).send(&fixture.address()).await;
        judge(answer, &refused(Code::NotFound, reason)).unwrap_or_else(|why| panic!("{method}: {why}"));
    }
    let lists = [
        fixture.runs().list_runs(ListRunsRequest::default()).await.expect("listed").into_inner().runs.len(),
        fixture
            .sessions()
            .list_sessions(ListSessionsRequest::default())
            .await
            .expect("listed")
            .into_inner()
            .sessions
            .len(),
        fixture.workers().list_workers(ListWorkersRequest::default()).await.expect("listed").into_inner().workers.len(),
    ];
    assert_eq!(lists, [0; 3]);
    let claimed = Unary::new(&fixture.servers[0], "another").claim(ClaimRequest::default()).await.expect("it claims");
    assert_eq!(claimed, [], "a run of another tenant is not assigned");
    let untouched: i64 = sqlx::query_scalar("SELECT count(*) FROM ops.runs WHERE status IN ('queued', 'running')")
        .fetch_one(&mut fixture.sql().await)
        .await
        .expect("counted");
    assert_eq!(untouched, 2);
}

fn entry() -> EventEntry {
    EventEntry { content: Some(event_entry::Content::Text("x".into())), ..Default::default() }
}
