//! Everything can be done by hand with grpcurl, by reflection alone.

use serde_json::{Value, json};

use crate::support::{Fixture, Grpcurl};

const SESSIONS: &str = "ops.v1.SessionService";
const RUNS: &str = "ops.v1.RunService";
const WORKERS: &str = "ops.v1.WorkerService";

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer} is missing in {value}"))
}

fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A session, and runs of these kinds in it.
async fn enqueue(grpcurl: &Grpcurl, kinds: &[&str]) -> Vec<String> {
    let session = grpcurl.call(&format!("{SESSIONS}/CreateSession"), json!({"name": "by hand"})).await;
    let session = text(&session, "/session/id");
    let run = |kind: &&str| json!({"session_id": session, "lane": "LANE_B", "kind": kind, "params_struct": {"n": 1}});
    let request = json!({"runs": kinds.iter().map(run).collect::<Vec<_>>()});
    let answer = grpcurl.call(&format!("{RUNS}/EnqueueRuns"), request).await;
    items(&answer, "runIds").iter().map(|id| id.as_str().expect("an id is text").to_owned()).collect()
}

async fn status(grpcurl: &Grpcurl, run: &str) -> String {
    text(&grpcurl.call(&format!("{RUNS}/GetRun"), json!({"run_id": run})).await, "/run/status").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn unary_calls_take_a_run_from_its_session_to_its_end() {
    let fixture = Fixture::new().await;
    let grpcurl = Grpcurl::of(&fixture);
    let ids = enqueue(&grpcurl, &["noop"; 10]).await;
    assert_eq!(ids.len(), 10);

    let claim = json!({"worker_name": "hand", "max_runs": 3, "lanes": ["LANE_B"], "wait": "10s"});
    let claimed = grpcurl.call(&format!("{WORKERS}/Claim"), claim).await;
    let worker = text(&claimed, "/workerId");
    let leases: Vec<Value> = items(&claimed, "assignments")
        .iter()
        .map(|it| json!({"run_id": text(it, "/run/id"), "fence": text(it, "/fence")}))
        .collect();
    assert_eq!(leases.len(), 3);
    assert_eq!(claimed.pointer("/assignments/0/run/paramsJson"), Some(&json!(r#"{"n": 1}"#)));
    let [first, second, third] = leases.as_slice() else { panic!("{leases:?}") };
    assert_eq!(status(&grpcurl, text(first, "/run_id")).await, "RUN_STATUS_RUNNING");

    let progress = json!([{"run_id": first["run_id"], "fence": first["fence"], "progress": {"fraction": 0.5}}]);
    let beat = json!({"worker_id": worker, "leases": leases, "progress": progress});
    assert_eq!(grpcurl.call(&format!("{WORKERS}/Heartbeat"), beat).await, json!({}));

    let report = |lease: &Value, outcome: Value| {
        let report = json!({"run_id": lease["run_id"], "fence": lease["fence"], "outcome": outcome});
        json!({"worker_id": worker, "report": report})
    };
    let report_run = format!("{WORKERS}/ReportRun");
    let entries = json!([{"text": "one"}, {"text": "two", "level": "EVENT_LEVEL_WARN"}]);
    let events = json!({"run_id": first["run_id"], "fence": first["fence"], "first_seq": 1, "entries": entries});
    let append = json!({"worker_id": worker, "events": events});
    let appended = grpcurl.call(&format!("{WORKERS}/AppendRunEvents"), append).await;
    assert_eq!(appended, json!({"throughSeq": "2"}));
    let listed = grpcurl.call(&format!("{RUNS}/ListRunEvents"), json!({"run_id": first["run_id"]})).await;
    let messages: Vec<_> = items(&listed, "events").iter().map(|event| text(event, "/message")).collect();
    assert_eq!(messages, ["one", "two"]);

    let done = grpcurl.call(&report_run, report(first, json!({"succeeded": {"result_struct": {"ok": true}}}))).await;
    assert_eq!(text(&done, "/run/status"), "RUN_STATUS_SUCCEEDED");
    let error = json!({"type": "Broken", "message": "it broke"});
    let failed = grpcurl.call(&report_run, report(second, json!({"failed": {"error": error}}))).await;
    assert_eq!(text(&failed, "/run/status"), "RUN_STATUS_FAILED");
    let refused = grpcurl.try_call(&report_run, report(first, json!({"failed": {"error": error}}))).await;
    let refused = refused.expect_err("it has succeeded already");
    let shown = ["Code: FailedPrecondition", r#""reason": "OUTCOME_CONFLICT""#, r#""domain": "ops""#];
    assert!(shown.iter().all(|shown| refused.contains(shown)), "{refused}");

    let cancel = json!({"run_id": third["run_id"], "reason": "enough"});
    let cancelled = grpcurl.call(&format!("{RUNS}/CancelRun"), cancel).await;
    assert_eq!(text(&cancelled, "/run/status"), "RUN_STATUS_RUNNING");
    let beat = json!({"worker_id": worker, "leases": [third]});
    let heartbeat = grpcurl.call(&format!("{WORKERS}/Heartbeat"), beat).await;
    assert_eq!(text(&heartbeat, "/cancels/0/reason"), "enough");
    let stopped = grpcurl.call(&report_run, report(third, json!({"cancelled": {}}))).await;
    assert_eq!(text(&stopped, "/run/status"), "RUN_STATUS_CANCELLED");
    assert_eq!(stopped.pointer("/run/cancellation/confirmed"), Some(&json!(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_shows_the_runs_that_exist_and_then_each_change() {
    let fixture = Fixture::new().await;
    let grpcurl = Grpcurl::of(&fixture);
    let ids = enqueue(&grpcurl, &["noop", "noop"]).await;
    let mut watch = grpcurl.talk(&format!("{RUNS}/WatchRuns"));
    watch.say_all(json!({"include_snapshot": true, "filter": {"lanes": ["LANE_B"]}})).await;
    assert_eq!(items(&watch.frame("snapshot").await, "runs").len(), 2);
    assert!(!text(&watch.frame("snapshotComplete").await, "/resumeToken").is_empty());

    let cancelled = grpcurl.call(&format!("{RUNS}/CancelRun"), json!({"run_id": ids[0]})).await;
    assert_eq!(text(&cancelled, "/run/status"), "RUN_STATUS_CANCELLED");
    let change = loop {
        let answer = watch.next().await.expect("the watch continues");
        if answer.get("bookmark").is_none() {
            break answer;
        }
    };
    assert_eq!(text(&change, "/change/run/id"), ids[0]);
    assert_eq!(text(&change, "/change/run/status"), "RUN_STATUS_CANCELLED");
}

#[tokio::test(flavor = "multi_thread")]
async fn connect_can_be_typed_by_hand() {
    let fixture = Fixture::new().await;
    let grpcurl = Grpcurl::of(&fixture);
    let ids = enqueue(&grpcurl, &["noop", "noop"]).await;
    let mut stream = grpcurl.talk(&format!("{WORKERS}/Connect"));

    stream.say(json!({"hello": {"protocol_version": 1, "name": "typist", "lanes": ["LANE_B"]}})).await;
    let welcome = stream.frame("welcome").await;
    assert!(!text(&welcome, "/workerId").is_empty() && !text(&welcome, "/secret").is_empty());
    assert_eq!((text(&welcome, "/heartbeatInterval"), text(&welcome, "/leaseTimeout")), ("5s", "30s"));

    stream.say(json!({"credit": {"total": 1}})).await;
    let assigned = stream.frame("assignments").await;
    assert_eq!(items(&assigned, "assignments").len(), 1);
    assert_eq!(text(&assigned, "/assignments/0/run/id"), ids[0]);
    let lease = json!({"run_id": ids[0], "fence": text(&assigned, "/assignments/0/fence")});
    assert_eq!(status(&grpcurl, &ids[0]).await, "RUN_STATUS_CLAIMED");

    stream.say(json!({"accepts": {"leases": [lease]}})).await;
    let started = stream.frame("starts").await;
    assert_eq!(started.pointer("/starts/0/attempt"), Some(&json!(1)));

    stream.say(json!({"heartbeat": {"leases": [lease]}})).await;
    assert_eq!(stream.frame("heartbeatAck").await, json!({}));

    let events =
        json!({"run_id": lease["run_id"], "fence": lease["fence"], "first_seq": 1, "entries": [{"text": "hello"}]});
    stream.say(json!({"events": events})).await;
    let kept = stream.frame("eventsAck").await;
    assert_eq!((text(&kept, "/throughSeq"), kept["credits"].as_u64()), ("1", Some(1)));

    let outcome = json!({"succeeded": {"result_json": "42"}});
    let report = json!({"run_id": lease["run_id"], "fence": lease["fence"], "outcome": outcome});
    stream.say(json!({"reports": {"reports": [report]}})).await;
    let acknowledged = stream.frame("reportAcks").await;
    assert_eq!(acknowledged.pointer("/results/0/accepted"), Some(&json!(true)));
    assert_eq!(status(&grpcurl, &ids[0]).await, "RUN_STATUS_SUCCEEDED");

    stream.say(json!({"goodbye": {"reason": "enough typed"}})).await;
    assert!(stream.end().await, "the server ends the call well");
    assert_eq!(status(&grpcurl, &ids[1]).await, "RUN_STATUS_QUEUED");
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_answers_in_both_versions_and_describes_every_service() {
    let fixture = Fixture::new().await;
    let grpcurl = Grpcurl::of(&fixture);
    let services = grpcurl.text(&["list"]).await;
    for service in [SESSIONS, RUNS, WORKERS, "ops.v1.ArtifactService", "grpc.health.v1.Health"] {
        assert!(services.lines().any(|line| line == service), "{service} is not in {services}");
    }
    let described = grpcurl.text(&["describe", "ops.v1.WorkerService.Connect"]).await;
    assert!(described.contains("rpc Connect ( stream .ops.v1.ConnectRequest )"), "{described}");
    assert!(described.contains("Carries everything between one worker process"), "comments are described too");

    for version in ["v1", "v1alpha"] {
        let mut talk = grpcurl.talk(&format!("grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"));
        talk.say(json!({"list_services": "*"})).await;
        let listed = talk.frame("listServicesResponse").await;
        assert!(items(&listed, "service").contains(&json!({"name": RUNS})), "{version}: {listed}");
        assert!(talk.end().await, "{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standard_health_check_says_that_it_serves() {
    let fixture = Fixture::new().await;
    let grpcurl = Grpcurl::of(&fixture);
    let mut watch = grpcurl.talk("grpc.health.v1.Health/Watch");
    watch.say_all(json!({"service": ""})).await;
    // The service is NOT_SERVING until the database has answered.
    while watch.next().await.expect("the watch continues") != json!({"status": "SERVING"}) {}
    for service in ["", SESSIONS, RUNS, WORKERS] {
        let health = grpcurl.call("grpc.health.v1.Health/Check", json!({"service": service})).await;
        assert_eq!(health, json!({"status": "SERVING"}), "{service}");
    }
}
