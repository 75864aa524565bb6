//! Workers and clients of another version of the contract: the released one, and one that is newer than the server.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use proto::v1::*;
use serde_json::{Value, json};

use crate::support::{Fixture, Grpcurl, PythonWorker, events, eventually, in_kind, spec};

/// The released contract with which `tests/tools/breaking.sh` compares.
fn released() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/released");
    let files = std::fs::read_dir(folder).expect("it is there").map(|file| file.expect("it can be read").path());
    files.filter(|file| file.extension().is_some_and(|it| it == "binpb")).max().expect("something was released")
}

/// The contract of proto/ with one more field in each message, and one more lane.
fn newer() -> tempfile::NamedTempFile {
    fn add_field(message: &mut DescriptorProto) {
        if message.options.as_ref().is_some_and(|options| options.map_entry()) {
            return;
        }
        message.field.push(FieldDescriptorProto {
            name: Some("from_the_future".into()),
            json_name: Some("fromTheFuture".into()),
            number: Some(500),
            label: Some(Label::Optional.into()),
            r#type: Some(Type::String.into()),
            ..Default::default()
        });
        message.nested_type.iter_mut().for_each(add_field);
    }
    let mut set = FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET).expect("it is a descriptor set");
    for file in set.file.iter_mut().filter(|file| file.package() == "ops.v1") {
        file.message_type.iter_mut().for_each(add_field);
        for lanes in file.enum_type.iter_mut().filter(|it| it.name() == "Lane") {
            let lane = EnumValueDescriptorProto { name: Some("LANE_Z".into()), number: Some(26), ..Default::default() };
            lanes.value.push(lane);
        }
    }
    let file = tempfile::NamedTempFile::new().expect("a file for a while");
    std::fs::write(file.path(), set.encode_to_vec()).expect("it is written");
    file
}

/// Plays everything that a worker does: it logs, reports, keeps a run alive for longer than a lease, obeys a cancel,
/// resumes. Returns the messages in which it sent fields that this contract does not have.
async fn works(contract: &Path) -> Vec<String> {
    let lease = Duration::from_secs(2);
    let fixture = Fixture::with(1, |config| config.engine.lease_timeout = lease).await;
    let session = fixture.session().await;
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned();
    let with_news = |kind: &str| RunSpec { traceparent: traceparent.clone(), ..spec(&session, kind) };
    let mut worker = PythonWorker::speaking(&fixture, 1, Some(contract)).await;

    let params = Some(run_spec::Params::ParamsJson(r#"{"lines": 3}"#.into()));
    let brief = fixture.enqueue_spec(RunSpec { params, ..with_news("echo") }).await.expect("it is enqueued");
    let ended = fixture.ended(&brief.id).await;
    assert_eq!(
        (ended.status(), ended.attempt, ended.result_json.as_str()),
        (RunStatus::Succeeded, 1, r#"{"lines": 3}"#)
    );
    assert_eq!(events(&fixture, &brief.id).await, ["line 1", "line 2", "line 3"]);
    let failed = fixture.enqueue_spec(with_news("fail")).await.expect("it is enqueued");
    assert_eq!(fixture.ended(&failed.id).await.error.expect("it failed").r#type, "ValueError");

    // By the database's clock the run outlives a lease, first on one stream and then on another.
    let long = fixture.enqueue_spec(with_news("hold")).await.expect("it is enqueued");
    eventually("heartbeats for longer than a lease", async || {
        let run = fixture.get(&long.id).await;
        let seconds = run.heartbeat_time?.seconds - run.start_time?.seconds;
        (seconds > 2 * lease.as_secs() as i64).then_some(())
    })
    .await;
    let progress = fixture.get(&long.id).await.progress.expect("it said how far it is");
    assert_eq!((progress.fraction, progress.message.as_str()), (0.5, "holding"));
    worker.command("cut").await;
    worker.sees("disconnected").await;
    worker.command("connect").await;
    let welcome = worker.sees("welcome").await;
    assert_eq!((&welcome["epoch"], &welcome["standing"]), (&Value::from(2), &Value::from(1)));
    fixture.cancel(&long.id).await;
    assert_eq!(worker.sees("cancelling").await["run_id"], long.id);
    let ended = fixture.ended(&long.id).await;
    assert_eq!((ended.status(), ended.attempt, ended.fence), (RunStatus::Cancelled, 1, 1), "{ended:?}");
    assert_eq!(ended.cancellation.expect("it was asked for").confirmed, Some(true));
    worker.command("leave").await;
    let seen = worker.ends().await;
    assert!(in_kind(&seen, "reported").iter().all(|it| it["accepted"] == true), "{seen:?}");
    let news = in_kind(&seen, "left")[0]["news"].as_array().expect("a list");
    news.iter().map(|it| it.as_str().expect("a name").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_the_released_contract_works_on_this_server() {
    assert!(works(&released()).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_of_a_newer_worker_are_ignored() {
    let said = works(newer().path()).await;
    let expected = [
        "Accepts",
        "CancelAcks",
        "Cancelled",
        "Credit",
        "EventEntry",
        "Failed",
        "Goodbye",
        "Hello",
        "Lease",
        "Outcome",
        "Progress",
        "Reports",
        "Resume",
        "RunError",
        "RunEvents",
        "RunProgress",
        "RunReport",
        "Succeeded",
        "WorkerHeartbeat",
    ];
    assert_eq!(said, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn this_server_serves_a_client_of_the_released_contract() {
    let fixture = Fixture::new().await;
    let old = Grpcurl::speaking(&fixture, &released());
    let session = old.call("ops.v1.SessionService/CreateSession", json!({ "name": "old" })).await;
    let session = session["session"]["id"].as_str().expect("it has an id").to_owned();
    let run = json!({ "session_id": session, "lane": "LANE_B", "kind": "k", "params_struct": { "a": 1 } });
    let enqueued = old.call("ops.v1.RunService/EnqueueRun", json!({ "run": run })).await;
    let own = enqueued["run"]["id"].as_str().expect("it has an id").to_owned();
    // A run with a field that the old contract does not have.
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned();
    let other = fixture.enqueue_spec(RunSpec { traceparent, ..spec(&session, "k") }).await.expect("it is enqueued").id;
    let listed = old.call("ops.v1.RunService/ListRuns", json!({ "filter": { "session_id": session } })).await;
    let ids: BTreeSet<_> = listed["runs"].as_array().expect("a list").iter().map(|run| run["id"].to_string()).collect();
    assert_eq!(ids, BTreeSet::from([json!(own).to_string(), json!(other).to_string()]));
    let mut watch = old.talk("ops.v1.RunService/WatchRuns");
    watch.say_all(json!({ "filter": { "session_id": session }, "include_snapshot": true })).await;
    assert_eq!(watch.frame("snapshot").await["runs"].as_array().map(Vec::len), Some(2));
    watch.frame("snapshotComplete").await;
    let cancelled = old.call("ops.v1.RunService/CancelRun", json!({ "run_id": other })).await;
    assert_eq!(cancelled["run"]["status"], "RUN_STATUS_CANCELLED");
    loop {
        let answer = watch.next().await.expect("the watch continues");
        // The end of the run comes after the requested cancel and bookmarks.
        if answer["change"]["run"]["status"] == "RUN_STATUS_CANCELLED" {
            assert_eq!(answer["change"]["run"]["id"], json!(other));
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_of_a_newer_client_are_ignored_and_an_unknown_lane_is_refused() {
    let fixture = Fixture::new().await;
    let contract = newer();
    let new = Grpcurl::speaking(&fixture, contract.path());
    let run = |lane: &str, session: &str| {
        json!({ "from_the_future": "x", "run": {
            "session_id": session, "lane": lane, "kind": "k", "from_the_future": "y",
        } })
    };
    let session = fixture.session().await;
    let enqueued = new.call("ops.v1.RunService/EnqueueRun", run("LANE_A", &session)).await;
    let read = fixture.get(enqueued["run"]["id"].as_str().expect("it has an id")).await;
    assert_eq!((read.kind.as_str(), read.lane()), ("k", Lane::A));
    assert_eq!(enqueued["run"].get("fromTheFuture"), None);
    let refused =
        new.try_call("ops.v1.RunService/EnqueueRun", run("LANE_Z", &session)).await.expect_err("no such lane");
    assert!(refused.contains("InvalidArgument") && refused.contains("run.lane") && refused.contains("26"), "{refused}");
}
