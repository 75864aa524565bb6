//! Answers fit into the message of a plain gRPC client, which takes 4 MiB unless it is set otherwise.

use std::collections::BTreeSet;

use proto::v1::artifact_service_client::ArtifactServiceClient;
use proto::v1::run_service_client::RunServiceClient;
use proto::v1::session_service_client::SessionServiceClient;
use proto::v1::worker_service_client::WorkerServiceClient;
use proto::v1::*;
use tonic::transport::Channel;

use crate::support::{Fixture, Stream, eventually, hello, in_time, spec, succeeded};

/// A channel of somebody who has set nothing.
async fn plain(fixture: &Fixture) -> Channel {
    let endpoint = Channel::from_shared(fixture.servers[0].url.clone()).expect("it is a URL");
    endpoint.connect().await.expect("the server answers")
}

/// A JSON object of about so many bytes.
fn object(bytes: usize) -> String {
    format!("{{\"text\": \"{}\"}}", "x".repeat(bytes))
}

/// Reads a list to its end. Returns the number of its pages, and the ids of its entries.
macro_rules! all_pages {
    ($client:expr, $method:ident, $items:ident, $id:expr, $request:expr) => {{
        let (mut pages, mut ids, mut request) = (0, BTreeSet::new(), $request);
        loop {
            request.page_size = 1_000;
            let page = $client.$method(request.clone()).await.expect(stringify!($method)).into_inner();
            pages += 1;
            ids.extend(page.$items.iter().map($id));
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break (pages, ids.len());
            }
        }
    }};
}

#[tokio::test(flavor = "multi_thread")]
async fn each_page_of_a_list_fits_into_a_message_of_a_plain_client_and_the_next_one_continues() {
    let fixture = Fixture::new().await;
    let channel = plain(&fixture).await;
    let session = fixture.session().await;

    // Runs, and the snapshot of a watch.
    for run in 0..10 {
        let params = Some(run_spec::Params::ParamsJson(object(900_000 + run)));
        fixture.enqueue_spec(RunSpec { params, ..spec(&session, "heavy") }).await.expect("it is within the limit");
    }
    let mut runs = RunServiceClient::new(channel.clone());
    let (pages, found) = all_pages!(runs, list_runs, runs, |run| run.id.clone(), ListRunsRequest::default());
    assert!(pages >= 4 && found == 10, "runs: {pages} {found}");
    let request = WatchRunsRequest { include_snapshot: true, ..Default::default() };
    let mut watch = runs.watch_runs(request).await.expect("it is answered").into_inner();
    let mut seen = 0;
    while seen < 10 {
        let message = in_time("the snapshot", watch.message()).await.expect("it fits").expect("there is more");
        if let Some(watch_runs_response::Event::Snapshot(snapshot)) = message.event {
            seen += snapshot.runs.len();
        }
    }

    // Sessions.
    let mut sessions = SessionServiceClient::new(channel.clone());
    for _ in 0..9 {
        let context = Some(create_session_request::Context::ContextJson(object(900_000)));
        let request = CreateSessionRequest { name: "heavy".into(), context, ..Default::default() };
        sessions.create_session(request).await.expect("it is within the limit");
    }
    let request = ListSessionsRequest::default();
    let (pages, found) = all_pages!(sessions, list_sessions, sessions, |session| session.id.clone(), request);
    assert!(pages >= 3 && found == 10, "sessions: {pages} {found}");

    // Events, listed and tailed.
    let run = fixture.enqueue(&session, "light").await.id;
    let hello = Hello { kinds: vec!["light".into()], ..hello("events") };
    let mut stream = Stream::open_with(&fixture.servers[0], hello).await;
    stream.credit(1);
    let lease = stream.begin().await;
    for seq in 1..=100 {
        stream.log(&lease, seq, &["x".repeat(60_000)]);
        assert_eq!(stream.events_ack().await.reason, "");
    }
    let request = ListRunEventsRequest { run_id: run.clone(), ..Default::default() };
    let (pages, found) = all_pages!(runs, list_run_events, events, |event| event.id.clone(), request);
    assert!(pages >= 2 && found == 100, "events: {pages} {found}");
    let request = TailRunEventsRequest { run_id: run.clone(), ..Default::default() };
    let mut tail = runs.tail_run_events(request).await.expect("it is answered").into_inner();
    let mut seen = 0;
    while seen < 100 {
        seen += in_time("events", tail.message()).await.expect("it fits").expect("there is more").events.len();
    }

    // Artifacts, whose lists leave out the texts.
    let mut artifacts = ArtifactServiceClient::new(channel.clone());
    for number in 0..80 {
        let request = CreateArtifactRequest {
            run_id: run.clone(),
            kind: "text".into(),
            name: format!("{number}"),
            content: Some(create_artifact_request::Content::ContentText("x".repeat(100))),
            metadata: Some(create_artifact_request::Metadata::MetadataJson(object(64_000))),
            ..Default::default()
        };
        artifacts.create_artifact(request).await.expect("it is within the limit");
    }
    let parents = [
        list_artifacts_request::Parent::RunId(run.clone()),
        list_artifacts_request::Parent::SessionId(session.clone()),
    ];
    for parent in parents {
        let request = ListArtifactsRequest { parent: Some(parent), ..Default::default() };
        let (pages, found) = all_pages!(artifacts, list_artifacts, artifacts, |artifact| artifact.id.clone(), request);
        assert!(pages >= 2 && found == 80, "artifacts: {pages} {found}");
    }

    // Workers, each with as many kinds as it may name.
    let insert = "INSERT INTO ops.workers (tenant_id, name, mode, state, lanes, kinds, lease_ms)
                  SELECT 'default', 'w' || n, 'unary', 'lost', '{A}', ARRAY(SELECT repeat('x', 100) FROM generate_series(1, 100)),
                         1000
                  FROM generate_series(1, 500) n";
    sqlx::query(insert).execute(&mut fixture.sql().await).await.expect("they are written");
    let mut workers = WorkerServiceClient::new(channel);
    let request = ListWorkersRequest::default();
    let (pages, found) = all_pages!(workers, list_workers, workers, |worker| worker.id.clone(), request);
    assert!(pages >= 2 && found == 501, "workers: {pages} {found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_run_fits_into_a_message_of_a_plain_client() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let mut runs = RunServiceClient::new(plain(&fixture).await);
    // In the database a space follows each comma.
    let dense = format!("{{\"a\":[{}1]}}", "1,".repeat(524_000));
    let labels = (0..32).map(|label| (format!("{label:063}"), "é".repeat(255))).collect();
    let params = Some(run_spec::Params::ParamsJson(dense.clone()));
    let request = EnqueueRunRequest { run: Some(RunSpec { params, labels, ..spec(&session, "any") }) };
    let run = runs.enqueue_run(request).await.expect("it is within the limit").into_inner().run.expect("answered").id;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    let lease = stream.begin().await;
    fixture.running(&run).await;
    let request = CancelRunRequest { run_id: run.clone(), reason: "\u{1f600}".repeat(4_000), grace: None };
    runs.cancel_run(request).await.expect("it fits");
    stream.cancel().await;
    let progress = Some(Progress { fraction: 0.5, message: "\u{1f600}".repeat(4_000) });
    let progress = RunProgress { run_id: run.clone(), fence: lease.fence, progress };
    let heartbeat = WorkerHeartbeat { leases: vec![lease.clone()], progress: vec![progress], pause: None };
    stream.send(connect_request::Frame::Heartbeat(heartbeat));
    stream.heartbeat_ack().await;
    assert_eq!(stream.finish(&lease, succeeded(&dense)).await, "");

    let got = runs.get_run(GetRunRequest { run_id: run.clone() }).await.expect("it fits").into_inner();
    let got = got.run.expect("it is answered");
    let bytes = prost::Message::encoded_len(&got);
    assert!(bytes > 3 << 20, "it is larger than a page: {bytes}");
    assert!(got.progress.is_some() && got.cancellation.is_some() && got.labels.len() == 32, "each field is used");
    let waited = runs.wait_run(WaitRunRequest { run_id: run.clone(), wait_timeout: None }).await.expect("it fits");
    assert_eq!(waited.into_inner().run, Some(got.clone()));
    let listed = runs.list_runs(ListRunsRequest::default()).await.expect("it fits").into_inner();
    assert_eq!((listed.runs, listed.next_page_token.as_str()), (vec![got], ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answers_of_a_unary_worker_fit_into_a_message_of_a_plain_client() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let channel = plain(&fixture).await;
    let (mut runs, mut workers) = (RunServiceClient::new(channel.clone()), WorkerServiceClient::new(channel));
    for run in 0..10 {
        let params = Some(run_spec::Params::ParamsJson(object(900_000 + run)));
        fixture.enqueue_spec(RunSpec { params, ..spec(&session, "heavy") }).await.expect("it is within the limit");
    }
    let mut claimed = BTreeSet::new();
    let claim = ClaimRequest { worker_name: "w".into(), max_runs: 1_000, ..Default::default() };
    eventually("each run is claimed", async || {
        let answer = workers.claim(claim.clone()).await.expect("it fits").into_inner();
        claimed.extend(answer.assignments.into_iter().map(|it| it.run.expect("it is named").id));
        (claimed.len() == 10).then_some(())
    })
    .await;

    // As many as one call enqueues; a thousand of them are held and cancelled for a long reason.
    let many = vec![spec(&session, "light"); 10_000];
    let ids = runs.enqueue_runs(EnqueueRunsRequest { runs: many }).await.expect("it fits").into_inner().run_ids;
    assert_eq!(ids.len(), 10_000);
    let (mut worker_id, mut leases) = (String::new(), Vec::new());
    while leases.len() < 1_000 {
        let max_runs = 1_000 - leases.len() as i32;
        let claim = ClaimRequest { worker_name: "c".into(), max_runs, ..Default::default() };
        let answer = workers.claim(claim).await.expect("it fits").into_inner();
        worker_id = answer.worker_id;
        for assignment in answer.assignments {
            leases.push(Lease { run_id: assignment.run.expect("it is named").id, fence: assignment.fence });
        }
    }
    let request = CancelSessionRequest { session_id: session, reason: "\u{1f600}".repeat(4_000), grace: None };
    fixture.sessions().cancel_session(request).await.expect("it is cancelled");
    let request = HeartbeatRequest { worker_id, leases, progress: Vec::new() };
    let answer = workers.heartbeat(request).await.expect("it fits").into_inner();
    assert_eq!((answer.cancels.len(), answer.lost.len()), (1_000, 0));
    let reasons = answer.cancels.iter().filter(|cancel| !cancel.reason.is_empty()).count();
    assert!((1..1_000).contains(&reasons), "those that fit: {reasons}");
}
