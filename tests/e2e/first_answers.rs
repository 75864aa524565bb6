//! A repeated request gets the first answer, whatever has happened since, and whatever the spelling of its JSON.

use std::collections::BTreeSet;

use prost::Message;
use prost_types::FileDescriptorSet;
use proto::v1::*;

use crate::support::{Fixture, Unary, failed, hello, reason, spec, succeeded};
use crate::support::{Stream, resume};

/// The methods that this file repeats. Each that takes a `request_id` is here.
const REPEATED: [&str; 5] = ["Claim", "CreateArtifact", "CreateSession", "EnqueueRun", "EnqueueRuns"];

#[test]
fn each_method_that_takes_a_request_id_is_repeated_here() {
    let set = FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET).expect("it is a descriptor set");
    let ours: Vec<_> = set.file.iter().filter(|file| file.package() == "ops.v1").collect();
    let takes = |name: &str, seen: &mut BTreeSet<String>| -> bool {
        fn search(ours: &[&prost_types::FileDescriptorProto], name: &str, seen: &mut BTreeSet<String>) -> bool {
            let short = name.trim_start_matches(".ops.v1.");
            let message = ours.iter().flat_map(|file| &file.message_type).find(|message| message.name() == short);
            let Some(message) = message.filter(|_| seen.insert(name.to_owned())) else { return false };
            message.field.iter().any(|field| field.name() == "request_id" || search(ours, field.type_name(), seen))
        }
        search(&ours, name, seen)
    };
    let methods = ours.iter().flat_map(|file| &file.service).flat_map(|service| &service.method);
    let mut named: Vec<&str> =
        methods.filter(|method| takes(method.input_type(), &mut BTreeSet::new())).map(|method| method.name()).collect();
    named.sort_unstable();
    assert_eq!(named, REPEATED);
}

fn named(session: &str, request_id: &str) -> RunSpec {
    RunSpec { request_id: request_id.into(), ..spec(session, "any") }
}

async fn execute(fixture: &Fixture, statement: &str) {
    let statement = sqlx::AssertSqlSafe(statement.to_owned());
    sqlx::raw_sql(statement).execute(&mut fixture.sql().await).await.expect("it is done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_enqueue_gets_its_runs_whatever_has_become_of_the_session() {
    let fixture = Fixture::with(2, |_| {}).await;
    for happens in ["closed", "completed", "cancelled", "locked", "deleted"] {
        let session = fixture.session().await;
        let one = async |server: usize| {
            let request = EnqueueRunRequest { run: Some(named(&session, &format!("{happens} one"))) };
            Ok::<_, tonic::Status>(fixture.servers[server].runs().enqueue_run(request).await?.into_inner().run)
        };
        let many = async |server: usize| {
            let runs = (0..3).map(|run| named(&session, &format!("{happens} {run}"))).collect();
            let answer = fixture.servers[server].runs().enqueue_runs(EnqueueRunsRequest { runs }).await?;
            Ok::<_, tonic::Status>(answer.into_inner().run_ids)
        };
        let (first, first_many) = (one(0).await.expect("it is enqueued"), many(0).await.expect("they are enqueued"));
        let id = first.expect("it is answered").id;
        let mut sql = fixture.sql().await;
        let by_id = |statement: &str| statement.replace("ID", &format!("'{session}'"));
        match happens {
            "closed" => drop(fixture.close(&session).await),
            "completed" => {
                for run in first_many.iter().chain([&id]) {
                    fixture.cancel(run).await;
                }
                fixture.close(&session).await;
            }
            "cancelled" => {
                let request = CancelSessionRequest { session_id: session.clone(), ..Default::default() };
                fixture.sessions().cancel_session(request).await.expect("it is cancelled");
            }
            "locked" => {
                let lock = by_id("BEGIN; SELECT FROM ops.sessions WHERE id = ID FOR UPDATE");
                sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(&mut sql).await.expect("it is locked");
            }
            _ => execute(&fixture, &by_id("DELETE FROM ops.sessions WHERE id = ID")).await,
        }
        for server in 0..2 {
            assert_eq!(many(server).await.expect(happens), first_many, "{happens}");
            match one(server).await {
                Ok(again) => assert_eq!(again.expect("it is answered").id, id, "{happens}"),
                // The run was enqueued, and is gone.
                Err(refused) => assert_eq!((happens, reason(&refused)), ("deleted", "RUN_NOT_FOUND".into())),
            }
        }
        drop(sql);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_enqueue_of_new_and_old_runs_is_refused_as_a_whole_when_the_session_has_closed() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let old = fixture.enqueue_spec(named(&session, "old")).await.expect("it is enqueued");
    fixture.close(&session).await;
    let runs = vec![named(&session, "old"), named(&session, "new")];
    let refused = fixture.runs().enqueue_runs(EnqueueRunsRequest { runs }).await.expect_err("one is new");
    assert_eq!(reason(&refused), "SESSION_CLOSED");
    assert_eq!(fixture.enqueue_spec(named(&session, "old")).await.expect("it is repeated").id, old.id);
    let refused = fixture.enqueue_spec(named(&session, "new")).await.expect_err("it was not enqueued");
    assert_eq!(reason(&refused), "SESSION_CLOSED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_call_of_another_kind_gets_the_first_answer_too() {
    let fixture = Fixture::with(2, |_| {}).await;

    // CreateSession, after the session was closed.
    let request = CreateSessionRequest { name: "once".into(), request_id: "once".into(), ..Default::default() };
    let create = async |server: usize| {
        let created = fixture.servers[server].sessions().create_session(request.clone()).await;
        created.expect("it is answered").into_inner().session.expect("with the session")
    };
    let session = create(0).await.id;
    fixture.close(&session).await;
    assert_eq!(create(1).await.id, session);

    // Claim, after the worker was ordered to drain.
    let session = fixture.session().await;
    let run = fixture.enqueue(&session, "any").await.id;
    let claim = ClaimRequest { request_id: "once".into(), ..Default::default() };
    let mut workers = [Unary::new(&fixture.servers[0], "w"), Unary::new(&fixture.servers[1], "w")];
    let first = workers[0].claim(claim.clone()).await.expect("it is answered");
    let drain = DrainWorkerRequest { worker_id: workers[0].worker_id.clone() };
    fixture.workers().drain_worker(drain).await.expect("it is there");
    assert_eq!(workers[1].claim(claim.clone()).await.expect("it is repeated").len(), 1);
    let other = ClaimRequest { request_id: "another".into(), ..Default::default() };
    assert_eq!(reason(&workers[1].claim(other).await.expect_err("it is new")), "WORKER_DRAINING");

    // CreateArtifact, after the run has ended and the grant with it.
    let lease = Lease { run_id: run.clone(), fence: first[0].fence };
    let request = CreateArtifactRequest {
        run_id: run.clone(),
        kind: "text".into(),
        name: "once".into(),
        content: Some(create_artifact_request::Content::ContentText("text".into())),
        request_id: "once".into(),
        lease: Some(ArtifactLease { worker_id: workers[0].worker_id.clone(), fence: lease.fence }),
        ..Default::default()
    };
    let create = async |server: usize| {
        let created = fixture.servers[server].client.artifacts().create_artifact(request.clone()).await;
        created.expect("it is answered").into_inner().artifact.expect("with the artifact").id
    };
    let artifact = create(0).await;
    workers[0].report(&lease, succeeded("1")).await.expect("it holds the run");
    assert_eq!(create(1).await, artifact);
}

/// Two spellings of one value, and another value.
const ONE: &str = r#"{"a": 1, "b": {"x": [1.50, "é"], "y": null}}"#;
const SAME: &str = r#"{ "b":{"y":null,"x":[15e-1,"\u00e9"]},"a":1.0 }"#;
const OTHER: &str = r#"{"a": 1, "b": {"x": ["é", 1.50], "y": null}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_is_the_same_by_value_however_its_json_is_spelled() {
    let fixture = Fixture::with(2, |_| {}).await;
    let session = fixture.session().await;
    let run = async |server: usize, json: &str| {
        let params = Some(run_spec::Params::ParamsJson(json.to_owned()));
        let request = EnqueueRunRequest { run: Some(RunSpec { params, ..named(&session, "once") }) };
        let enqueued = fixture.servers[server].runs().enqueue_run(request).await;
        enqueued.map(|answer| answer.into_inner().run.expect("it is answered").id)
    };
    let create_session = async |server: usize, json: &str| {
        let context = Some(create_session_request::Context::ContextJson(json.to_owned()));
        let request =
            CreateSessionRequest { name: "s".into(), context, request_id: "once".into(), ..Default::default() };
        let created = fixture.servers[server].sessions().create_session(request).await;
        created.map(|answer| answer.into_inner().session.expect("it is answered").id)
    };
    let of = fixture.enqueue(&session, "any").await.id;
    let artifact = async |server: usize, json: &str| {
        let request = CreateArtifactRequest {
            run_id: of.clone(),
            kind: "text".into(),
            name: "a".into(),
            content: Some(create_artifact_request::Content::ContentText("text".into())),
            metadata: Some(create_artifact_request::Metadata::MetadataJson(json.to_owned())),
            request_id: "once".into(),
            ..Default::default()
        };
        let created = fixture.servers[server].client.artifacts().create_artifact(request).await;
        created.map(|answer| answer.into_inner().artifact.expect("it is answered").id)
    };
    macro_rules! repeats {
        ($call:ident) => {
            let first = $call(0, ONE).await.expect("it is made");
            assert_eq!($call(1, SAME).await.expect("it is repeated"), first);
            let refused = $call(1, OTHER).await.expect_err("it is another payload");
            assert_eq!(reason(&refused), "REQUEST_ID_REUSED", "{}", stringify!($call));
        };
    }
    repeats!(run);
    repeats!(create_session);
    repeats!(artifact);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_report_is_the_same_by_value() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let with_context = |json: &str| {
        let mut outcome = failed("E");
        if let Some(outcome::Outcome::Failed(failed)) = &mut outcome.outcome {
            failed.error.as_mut().expect("it has one").context_json = json.to_owned();
        }
        outcome
    };
    // On a stream, and by unary calls.
    let mut stream = Stream::open_with(&fixture.servers[0], hello("w")).await;
    for (total, outcome) in [(1, succeeded as fn(&str) -> Outcome), (2, with_context)] {
        fixture.enqueue(&session, "any").await;
        stream.credit(total);
        let lease = stream.begin().await;
        assert_eq!(stream.finish(&lease, outcome(ONE)).await, "");
        let mut again = Stream::open_with(&fixture.servers[0], resume(&stream.welcome, &[])).await;
        assert_eq!(again.finish(&lease, outcome(SAME)).await, "");
        assert_eq!(again.finish(&lease, outcome(OTHER)).await, "OUTCOME_CONFLICT");
        stream = again;
        stream.credit(total);
    }
    drop(stream);
    fixture.enqueue(&session, "any").await;
    let mut worker = Unary::new(&fixture.servers[0], "unary");
    let lease = worker.take().await;
    worker.report(&lease, succeeded(ONE)).await.expect("it is accepted");
    worker.report(&lease, succeeded(SAME)).await.expect("it is repeated");
    let refused = worker.report(&lease, succeeded(OTHER)).await.expect_err("it is another");
    assert_eq!(reason(&refused), "OUTCOME_CONFLICT");
}
