//! The protocol in another language: the example worker of tests/python, which uses only the contract.

use std::time::Duration;

use proto::v1::*;
use serde_json::Value;

use crate::support::{Fixture, PythonWorker, events, eventually, in_kind, spec};

#[tokio::test(flavor = "multi_thread")]
async fn each_run_is_executed_once_with_its_log_and_its_result() {
    // A run has more lines than credits, so credits must come back.
    let fixture = Fixture::with(1, |config| config.engine.event_credits = 3).await;
    let session = fixture.session().await;
    let mut ids = Vec::new();
    for lines in [0, 1, 2, 20, 5] {
        let params = Some(run_spec::Params::ParamsJson(format!(r#"{{"lines": {lines}}}"#)));
        ids.push((
            lines,
            fixture.enqueue_spec(RunSpec { params, ..spec(&session, "echo") }).await.expect("enqueued").id,
        ));
    }
    let failing = fixture.enqueue(&session, "fail").await.id;
    let mut worker = PythonWorker::start(&fixture, 2).await;
    for (lines, id) in &ids {
        let run = fixture.ended(id).await;
        assert_eq!((run.status(), run.attempt, run.fence), (RunStatus::Succeeded, 1, 1));
        assert_eq!(run.result_json, format!(r#"{{"lines": {lines}}}"#));
        let expected: Vec<_> = (1..=*lines).map(|number| format!("line {number}")).collect();
        assert_eq!(events(&fixture, id).await, expected);
    }
    let run = fixture.ended(&failing).await;
    let error = run.error.clone().expect("it failed");
    assert_eq!(
        (run.status(), error.r#type.as_str(), error.message.as_str()),
        (RunStatus::Failed, "ValueError", "as it was asked to")
    );
    assert!(error.stack.contains("controlled.py"), "{}", error.stack);

    worker.command("leave").await;
    let seen = worker.ends().await;
    assert_eq!(in_kind(&seen, "started").len(), ids.len() + 1, "each was started once: {seen:?}");
    assert!(in_kind(&seen, "reported").iter().all(|it| it["accepted"] == true), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_the_handler_and_is_confirmed() {
    let fixture = Fixture::new().await;
    let mut worker = PythonWorker::start(&fixture, 1).await;
    let run = fixture.enqueue(&fixture.session().await, "hold").await;
    worker.sees("started").await;
    // The worker gets the start before the database has it; until then a cancel needs no confirmation.
    let running = async || (fixture.get(&run.id).await.status() == RunStatus::Running).then_some(());
    eventually("the start is written down", running).await;
    let request = CancelRunRequest { run_id: run.id.clone(), reason: "enough".into(), grace: None };
    fixture.runs().cancel_run(request).await.expect("the run is there");
    assert_eq!(worker.sees("cancelling").await["reason"], "enough");
    assert_eq!(worker.sees("stopped").await["run_id"], run.id);
    assert_eq!(worker.sees("reported").await["accepted"], true);
    let run = fixture.ended(&run.id).await;
    assert_eq!((run.status(), run.attempt), (RunStatus::Cancelled, 1));
    assert_eq!(run.cancellation.expect("it was asked for").confirmed, Some(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_is_not_accepted_in_time_goes_back_and_a_late_accept_starts_nothing() {
    let fixture = Fixture::with(1, |config| config.engine.accept_timeout = Duration::from_millis(500)).await;
    let mut worker = PythonWorker::start(&fixture, 1).await;
    worker.command("hold-accepts").await;
    worker.sees("obeyed").await;
    let run = fixture.enqueue(&fixture.session().await, "echo").await;
    assert_eq!(worker.sees("assigned").await["fence"], 1);
    assert_eq!(worker.sees("revoked").await["fence"], 1);
    // The worker accepts the first grant now, too late, and the second one.
    worker.command("accept").await;
    let started = worker.sees("started").await;
    assert!(started["fence"].as_i64() > Some(1), "{started}");
    assert_eq!(started["attempt"], 1);
    let run = fixture.ended(&run.id).await;
    assert_eq!((run.status(), run.attempt, Some(run.fence)), (RunStatus::Succeeded, 1, started["fence"].as_i64()));
    worker.command("leave").await;
    assert_eq!(in_kind(&worker.ends().await, "started"), Vec::<&Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cancelled_before_its_start_is_revoked() {
    let fixture = Fixture::new().await;
    let mut worker = PythonWorker::start(&fixture, 1).await;
    worker.command("hold-accepts").await;
    worker.sees("obeyed").await;
    let run = fixture.enqueue(&fixture.session().await, "hold").await;
    worker.sees("assigned").await;
    let request = CancelRunRequest { run_id: run.id.clone(), ..Default::default() };
    fixture.runs().cancel_run(request).await.expect("the run is there");
    let run = fixture.ended(&run.id).await;
    assert_eq!((run.status(), run.attempt), (RunStatus::Cancelled, 0));
    assert_eq!(worker.sees("revoked").await["run_id"], run.id);
    worker.command("accept").await;
    assert_eq!(worker.sees("revoked").await["run_id"], run.id);
    worker.command("leave").await;
    let seen = worker.ends().await;
    assert_eq!(in_kind(&seen, "started").len() + in_kind(&seen, "reported").len(), 0, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_lost_its_stream_resumes_and_sends_what_it_could_not_send() {
    let fixture = Fixture::new().await;
    let mut worker = PythonWorker::start(&fixture, 1).await;
    let run = fixture.enqueue(&fixture.session().await, "hold").await;
    worker.sees("started").await;
    worker.command("cut").await;
    worker.sees("disconnected").await;
    worker.command(&format!("release {}", run.id)).await;
    worker.sees("ended").await;
    assert_eq!(fixture.get(&run.id).await.finish_time, None);

    worker.command("connect").await;
    let welcome = worker.sees("welcome").await;
    assert_eq!((&welcome["epoch"], &welcome["standing"]), (&Value::from(2), &Value::from(1)));
    assert_eq!(worker.sees("reported").await["accepted"], true);
    let ended = fixture.ended(&run.id).await;
    assert_eq!((ended.status(), ended.attempt, ended.fence), (RunStatus::Succeeded, 1, 1));
    assert_eq!(ended.result_json, r#""released""#);

    // The acknowledgement could have been lost.
    worker.command(&format!("say-again {}", run.id)).await;
    assert_eq!(worker.sees("reported").await["accepted"], true);
    worker.command(&format!("contradict {}", run.id)).await;
    let refused = worker.sees("reported").await;
    assert_eq!((&refused["accepted"], &refused["reason"]), (&Value::from(false), &Value::from("OUTCOME_CONFLICT")));
    assert_eq!(fixture.get(&run.id).await, ended);
    worker.command("leave").await;
    worker.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_worker_ends_its_runs_takes_no_more_and_leaves() {
    let fixture = Fixture::new().await;
    let (mut worker, session) = (PythonWorker::start(&fixture, 2).await, fixture.session().await);
    let held = fixture.enqueue(&session, "hold").await;
    worker.sees("started").await;
    let worker_id = fixture.get(&held.id).await.worker_id;
    fixture.workers().drain_worker(DrainWorkerRequest { worker_id: worker_id.clone() }).await.expect("it is there");
    assert_eq!(worker.sees("drained").await["reason"], "DRAIN_REASON_OPERATOR");
    let late = fixture.enqueue(&session, "hold").await;
    worker.command(&format!("release {}", held.id)).await;
    assert_eq!(in_kind(&worker.ends().await, "assigned"), Vec::<&Value>::new());

    assert_eq!(fixture.get(&held.id).await.status(), RunStatus::Succeeded);
    assert_eq!(fixture.get(&late.id).await.status(), RunStatus::Queued);
    let gone = ListWorkersRequest { states: vec![WorkerState::Gone.into()], ..Default::default() };
    let gone = fixture.workers().list_workers(gone).await.expect("they are listed").into_inner().workers;
    assert_eq!(gone.into_iter().map(|worker| worker.id).collect::<Vec<_>>(), [worker_id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_leaves_by_itself_gives_its_credit_back_and_ends_the_runs_it_holds() {
    let fixture = Fixture::new().await;
    let (mut worker, session) = (PythonWorker::start(&fixture, 2).await, fixture.session().await);
    let held = fixture.enqueue(&session, "hold").await;
    worker.sees("started").await;
    // One slot is open.
    worker.command("leave").await;
    let welcome = worker.sees("welcome").await;
    assert_eq!((&welcome["epoch"], &welcome["standing"]), (&Value::from(2), &Value::from(1)));
    let late = fixture.enqueue(&session, "hold").await;
    worker.command(&format!("release {}", held.id)).await;
    assert_eq!(in_kind(&worker.ends().await, "assigned"), Vec::<&Value>::new());
    let held = fixture.get(&held.id).await;
    assert_eq!((held.status(), held.attempt), (RunStatus::Succeeded, 1));
    assert_eq!(fixture.get(&late.id).await.status(), RunStatus::Queued);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_silent_too_long_learns_that_its_run_is_lost() {
    let fixture = Fixture::with(1, |config| config.engine.lease_timeout = Duration::from_secs(1)).await;
    let mut worker = PythonWorker::start(&fixture, 1).await;
    let run = fixture.enqueue(&fixture.session().await, "hold").await;
    worker.sees("started").await;
    worker.command("mute").await;
    let run = fixture.ended(&run.id).await;
    let error = run.error.clone().expect("it failed");
    assert_eq!((run.status(), error.r#type.as_str()), (RunStatus::Failed, "HeartbeatTimeout"));

    assert_eq!(worker.sees("revoked").await["reason"], "LEASE_LOST");
    worker.sees("stopped").await;
    // The delayed heartbeat still names the run.
    worker.command("unmute").await;
    assert_eq!(worker.sees("lost").await["run_id"], run.id);
    worker.command("leave").await;
    assert_eq!(in_kind(&worker.ends().await, "reported"), Vec::<&Value>::new());
    assert_eq!(fixture.get(&run.id).await, run);
}
