//! The worker library against real servers: what it executes, and what it survives.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::future::join_all;
use handlers::HttpConfig;
use proto::v1::*;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use worker::{
    ArtifactContent, DrainedBy, Handler, HandlerError, Level, RunContext, StopCause, Worker, WorkerConfig,
    WorkerStatus, WorkerSummary,
};

use crate::support::{Fixture, spec};

/// Handlers that do what their kind says.
#[derive(Clone)]
struct Acts {
    /// How often each attempt of each run was started.
    begun: Arc<Mutex<HashMap<(String, i32), usize>>>,
    /// Holds handlers of kind `gated` until the test releases them.
    gate: Arc<Semaphore>,
    /// Signals that a handler of kind `gated` is at the gate, or was killed there.
    arrived: Arc<Semaphore>,
    gone: Arc<Semaphore>,
}

/// Signals that a handler's future was dropped.
struct Gone(Arc<Semaphore>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

#[async_trait]
impl Handler for Acts {
    async fn run(&self, ctx: RunContext) -> Result<Value, HandlerError> {
        *self.begun.lock().expect("not poisoned").entry((ctx.run_id().to_owned(), ctx.attempt())).or_default() += 1;
        match ctx.kind() {
            "brief" => tokio::time::sleep(Duration::from_millis(10)).await,
            "gated" => {
                let _gone = Gone(self.gone.clone());
                self.arrived.add_permits(1);
                self.gate.acquire().await.expect("the gate stays").forget();
            }
            "tells" => {
                ctx.progress(0.5, "half");
                let id = ctx.artifact("report.md", "report", ArtifactContent::Text("# Well".into())).await?;
                self.gate.acquire().await.expect("the gate stays").forget();
                return Ok(json!({ "artifact": id, "fence": ctx.fence() }));
            }
            "obeys" => {
                self.arrived.add_permits(1);
                let reason = ctx.cancelled().await;
                assert_ne!(reason.cause, StopCause::Shutdown);
                return Err(HandlerError::Cancelled);
            }
            "much" => return Ok(json!("x".repeat(2 << 20))),
            "odd" => {
                let mut deep = json!("the end\0");
                for _ in 0..100 {
                    deep = json!([deep]);
                }
                let large: Value = serde_json::from_str("[1e400, 1e-400, 12345678901234567890]").expect("it is JSON");
                ctx.log_with(Level::Info, "odd\0text", &json!({ "a\0": "b\0" })).await;
                return Ok(json!({ "a\0": "\0", "deep": deep, "large": large }));
            }
            "odd failure" => {
                let failed = HandlerError::failed("Odd\n\0\u{202e}", "\0\u{1b}[31m\u{fffd}");
                return Err(failed.with_stack("\0").with_context(json!({ "a\0": ["\0"] })));
            }
            "some" => return Ok(json!("x".repeat(2 << 10))),
            "panics" => panic!("boom"),
            other => panic!("no such kind: {other}"),
        }
        Ok(json!({ "attempt": ctx.attempt() }))
    }
}

/// A worker that runs.
struct Running {
    acts: Acts,
    status: watch::Receiver<WorkerStatus>,
    shutdown: CancellationToken,
    task: JoinSet<Result<WorkerSummary, worker::WorkerError>>,
}

impl Running {
    fn start(servers: Vec<String>) -> Self {
        let closed = || Arc::new(Semaphore::new(0));
        let acts = Acts { begun: Arc::default(), gate: closed(), arrived: closed(), gone: closed() };
        let mut builder = Worker::builder(WorkerConfig { servers, slots: 4, ..WorkerConfig::new("") });
        for kind in ["brief", "gated", "tells", "obeys", "much", "some", "odd", "odd failure", "panics"] {
            builder = builder.handler(kind, acts.clone());
        }
        let builder = handlers::register(builder, &HttpConfig::default());
        let worker = builder.build().expect("it is well configured");
        let (status, shutdown, mut task) = (worker.subscribe(), CancellationToken::new(), JoinSet::new());
        task.spawn(worker.run(shutdown.clone()));
        Self { acts, status, shutdown, task }
    }

    async fn connected(&mut self) {
        self.status.wait_for(|status| status.is_connected).await.expect("it runs");
    }

    async fn stop(mut self) -> WorkerSummary {
        self.shutdown.cancel();
        self.task.join_next().await.expect("it runs").expect("it does not panic").expect("it was taken")
    }

    /// No attempt was started twice.
    fn executed_once(&self) {
        let begun = self.acts.begun.lock().expect("not poisoned");
        assert!(begun.values().all(|times| *times == 1), "{begun:?}");
    }
}

/// A server that can be stopped, and started again at the same address.
struct Replica {
    address: SocketAddr,
    config: server::Config,
    running: Option<(CancellationToken, JoinSet<Result<(), server::Error>>)>,
}

impl Replica {
    async fn start(fixture: &Fixture, lease_timeout: Duration) -> Self {
        let mut config = server::Config::new(&fixture.database.url);
        config.migrate = false;
        config.engine.lease_timeout = lease_timeout;
        config.database.max_connections = 8;
        let mut replica = Self { address: "127.0.0.1:0".parse().expect("an address"), config, running: None };
        replica.again().await;
        replica
    }

    async fn again(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("the port is free");
        self.address = listener.local_addr().expect("it is bound");
        let (stop, mut task) = (CancellationToken::new(), JoinSet::new());
        task.spawn(server::run(listener, self.config.clone(), stop.clone()));
        self.running = Some((stop, task));
    }

    async fn stop(&mut self) {
        let (stop, mut task) = self.running.take().expect("it runs");
        stop.cancel();
        task.join_next().await.expect("it runs").expect("it does not panic").expect("it ends well");
    }
}

async fn one_server() -> (Fixture, Running, String) {
    let fixture = Fixture::with(1, |config| config.engine.lease_timeout = Duration::from_secs(3)).await;
    let running = Running::start(vec![fixture.servers[0].url.clone()]);
    let session = fixture.session().await;
    (fixture, running, session)
}

fn shell(session: &str, command: &str) -> RunSpec {
    let params = json!({ "command": command }).to_string();
    RunSpec { params: Some(run_spec::Params::ParamsJson(params)), ..spec(session, "shell") }
}

async fn log(fixture: &Fixture, run_id: &str) -> Vec<RunEvent> {
    let (mut events, mut page_token) = (Vec::new(), String::new());
    loop {
        let request =
            ListRunEventsRequest { run_id: run_id.into(), page_size: 1_000, page_token, ..Default::default() };
        let page = fixture.runs().list_run_events(request).await.expect("it is listed").into_inner();
        events.extend(page.events);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return events;
        }
    }
}

/// Waits until a run satisfies this condition.
async fn seen<T>(fixture: &Fixture, wanted: impl Fn(Run) -> Option<T>) -> T {
    let watched = WatchRunsRequest { include_snapshot: true, ..Default::default() };
    let mut changes = fixture.runs().watch_runs(watched).await.expect("it is watched").into_inner();
    loop {
        let runs = match changes.next().await.expect("the watch continues").expect("it is well").event {
            Some(watch_runs_response::Event::Snapshot(snapshot)) => snapshot.runs,
            Some(watch_runs_response::Event::Change(change)) => change.run.into_iter().collect(),
            _ => Vec::new(),
        };
        if let Some(found) = runs.into_iter().find_map(&wanted) {
            return found;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_shell_run_holds_its_output_byte_for_byte() {
    let (fixture, _running, session) = one_server().await;
    let command = r"seq 1 3000; printf '\377\r\na\r\n\n\0'; echo oops >&2; printf last";
    let run = fixture.enqueue_spec(shell(&session, command)).await.expect("it is enqueued");
    let ended = fixture.ended(&run.id).await;
    assert_eq!((ended.status(), ended.attempt), (RunStatus::Succeeded, 1), "{ended:?}");
    let events = log(&fixture, &run.id).await;
    assert!(events.iter().map(|event| event.seq).eq(1..=events.len() as i64), "numbered without a gap");
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    for event in events {
        let data: Value = serde_json::from_str(&event.data_json).expect("it is JSON");
        let output = if data["stream"] == "stdout" { &mut stdout } else { &mut stderr };
        if event.raw.is_empty() {
            output.extend(event.message.into_bytes());
            output.extend((data["partial"] != true).then_some(b'\n'));
        } else {
            output.extend(event.raw);
        }
    }
    let mut expected: Vec<u8> = (1..=3000).flat_map(|number| format!("{number}\n").into_bytes()).collect();
    expected.extend(b"\xFF\r\na\r\n\n\0last");
    assert_eq!((stdout, stderr), (expected, b"oops\n".to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_run_that_exits_with_an_error_fails_with_its_exit_status() {
    let (fixture, _running, session) = one_server().await;
    let run = fixture.enqueue_spec(shell(&session, "echo why >&2; exit 3")).await.expect("it is enqueued");
    let ended = fixture.ended(&run.id).await;
    let error = ended.error.clone().expect("it has failed");
    assert_eq!((error.r#type.as_str(), error.message.as_str()), ("ExitStatus", "exit 3: why"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_progress_of_an_executing_run_is_visible_and_its_artifact_is_kept() {
    let (fixture, running, session) = one_server().await;
    let run = fixture.enqueue(&session, "tells").await;
    let progress = seen(&fixture, |run| run.progress).await;
    assert_eq!((progress.fraction, progress.message.as_str()), (0.5, "half"));
    running.acts.gate.add_permits(1);
    let ended = fixture.ended(&run.id).await;
    let parent = Some(list_artifacts_request::Parent::RunId(run.id.clone()));
    let listed = fixture.artifacts().list_artifacts(ListArtifactsRequest { parent, ..Default::default() }).await;
    let artifacts = listed.expect("they are listed").into_inner().artifacts;
    assert_eq!(artifacts.len(), 1);
    assert_eq!((artifacts[0].name.as_str(), artifacts[0].kind.as_str()), ("report.md", "report"));
    let result: Value = serde_json::from_str(&ended.result_json).expect("it is JSON");
    assert_eq!(result, json!({ "artifact": artifacts[0].id, "fence": ended.fence }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_is_stopped_by_its_worker() {
    let (fixture, running, session) = one_server().await;
    let run = fixture.enqueue(&session, "obeys").await;
    seen(&fixture, |run| (run.status() == RunStatus::Running).then_some(())).await;
    let request = CancelRunRequest { run_id: run.id.clone(), reason: "enough".into(), grace: None };
    fixture.runs().cancel_run(request).await.expect("it is asked for");
    let ended = fixture.ended(&run.id).await;
    assert_eq!((ended.status(), ended.attempt), (RunStatus::Cancelled, 1), "{ended:?}");
    assert_eq!(running.stop().await.cancelled, 1);
}

/// The worker starts before the database has the start. The cancel counts whichever of the two writes comes first.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_at_the_moment_of_the_start_is_not_lost() {
    let (fixture, running, session) = one_server().await;
    for _ in 0..40 {
        let run = fixture.enqueue(&session, "obeys").await;
        running.acts.arrived.acquire().await.expect("it stays").forget();
        let request = CancelRunRequest { run_id: run.id.clone(), ..Default::default() };
        fixture.runs().cancel_run(request).await.expect("it is asked for");
        assert_eq!(fixture.ended(&run.id).await.status(), RunStatus::Cancelled);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_takes_too_long_is_stopped_and_fails() {
    let (fixture, _running, session) = one_server().await;
    let timeout = Some(prost_types::Duration { seconds: 0, nanos: 100_000_000 });
    for spec in [spec(&session, "obeys"), shell(&session, "exec sleep 1000")] {
        let run = fixture.enqueue_spec(RunSpec { timeout, ..spec }).await.expect("it is enqueued");
        let ended = fixture.ended(&run.id).await;
        let error = ended.error.clone().expect("it has failed");
        assert_eq!((ended.status(), error.r#type.as_str()), (RunStatus::Failed, "Timeout"), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_is_too_large_fails_the_run_and_says_so() {
    // One result is over the worker's limit, which is the contract's; the other is over the limit of a server that
    // accepts less.
    for (kind, error_type, says) in [("much", "ResultTooLarge", "1 MiB"), ("some", "InvalidOutcome", "result")] {
        let fixture = Fixture::with(1, |config| config.limits.result = 1 << 10).await;
        let _running = Running::start(vec![fixture.servers[0].url.clone()]);
        let session = fixture.session().await;
        let run = fixture.enqueue_spec(RunSpec { max_attempts: Some(3), ..spec(&session, kind) }).await;
        let ended = fixture.ended(&run.expect("it is enqueued").id).await;
        let error = ended.error.clone().expect("it has failed");
        assert_eq!((ended.status(), ended.attempt), (RunStatus::Failed, 1), "another attempt can not help: {ended:?}");
        assert_eq!(error.r#type, error_type);
        assert!(error.message.contains(says), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_server_keeps_becomes_text_and_the_outcome_stands() {
    let (fixture, running, session) = one_server().await;
    let odd = fixture.enqueue(&session, "odd").await;
    let ended = fixture.ended(&odd.id).await;
    assert_eq!(ended.status(), RunStatus::Succeeded, "{ended:?}");
    let result: Value = serde_json::from_str(&ended.result_json).expect("it is JSON");
    assert_eq!((&result["a\u{fffd}"], &result["large"][0]), (&json!("\u{fffd}"), &json!("1e+400")));
    assert!(result["deep"].is_array(), "{result}");
    let request = ListRunEventsRequest { run_id: odd.id.clone(), ..Default::default() };
    let events = fixture.runs().list_run_events(request).await.expect("the run is there").into_inner().events;
    assert_eq!(events[0].raw, b"odd\0text".as_slice(), "{events:?}");

    let spec = RunSpec { max_attempts: Some(2), ..spec(&session, "odd failure") };
    let failing = fixture.enqueue_spec(spec).await.expect("it is enqueued");
    let ended = fixture.ended(&failing.id).await;
    let error = ended.error.clone().expect("it has failed");
    assert_eq!((ended.attempt, error.r#type.as_str()), (2, "Odd\u{fffd}\u{fffd}\u{fffd}"), "{ended:?}");
    assert_eq!((error.message.as_str(), error.stack.as_str()), ("\u{fffd}\u{1b}[31m\u{fffd}", "\u{fffd}"));
    assert_eq!(running.stop().await.refused, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_handler_fails_its_run_and_nothing_else() {
    let (fixture, running, session) = one_server().await;
    let run = fixture.enqueue(&session, "panics").await;
    let ended = fixture.ended(&run.id).await;
    let error = ended.error.clone().expect("it has failed");
    assert_eq!((error.r#type.as_str(), error.message.as_str()), ("Panic", "boom"), "{ended:?}");
    let next = fixture.enqueue(&session, "brief").await;
    assert_eq!(fixture.ended(&next.id).await.status(), RunStatus::Succeeded);
    assert_eq!(running.stop().await.started, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_run_is_executed_once_while_all_replicas_are_restarted_in_turn() {
    let fixture = Fixture::new().await;
    let lease = Duration::from_secs(10);
    let mut replicas = [Replica::start(&fixture, lease).await, Replica::start(&fixture, lease).await];
    let mut running = Running::start(replicas.iter().map(|replica| replica.address.to_string()).collect());
    let session = fixture.session().await;
    let long = fixture.enqueue(&session, "gated").await;
    running.acts.arrived.acquire().await.expect("it stays").forget();
    let brief = join_all((0..300).map(|_| fixture.enqueue(&session, "brief"))).await;
    for replica in &mut replicas {
        replica.stop().await;
        running.connected().await;
        replica.again().await;
    }
    running.acts.gate.add_permits(1);
    for run in brief.iter().chain([&long]) {
        let ended = fixture.ended(&run.id).await;
        assert_eq!((ended.status(), ended.attempt), (RunStatus::Succeeded, 1), "{ended:?}");
    }
    running.executed_once();
    let summary = running.stop().await;
    assert_eq!((summary.succeeded, summary.lost, summary.unreported), (301, 0, 0));
    assert!(summary.connects >= 2, "its own server was restarted, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_all_servers_longer_than_the_lease_costs_no_run() {
    let mut fixture = Fixture::new().await;
    let lease = Duration::from_secs(5);
    let mut replica = Replica::start(&fixture, lease).await;
    let running = Running::start(vec![replica.address.to_string()]);
    let session = fixture.session().await;
    let run = fixture.enqueue(&session, "gated").await;
    running.acts.arrived.acquire().await.expect("it stays").forget();
    fixture.servers.remove(0).stop().await;
    replica.stop().await;
    let is_killed = tokio::time::timeout(lease + Duration::from_secs(2), running.acts.gone.acquire()).await.is_ok();
    assert!(!is_killed, "the handler was killed");
    replica.again().await;
    fixture.add_server(&|_: &mut server::Config| {}).await;
    running.acts.gate.add_permits(1);
    let ended = fixture.ended(&run.id).await;
    assert_eq!((ended.status(), ended.attempt), (RunStatus::Succeeded, 1), "{ended:?}");
    running.executed_once();
    let summary = running.stop().await;
    assert_eq!((summary.succeeded, summary.lost, summary.connects), (1, 0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_worker_ends_its_runs_however_long_they_take_and_leaves() {
    let (fixture, mut running, session) = one_server().await;
    let run = fixture.enqueue(&session, "gated").await;
    running.acts.arrived.acquire().await.expect("it stays").forget();
    let worker_id = running.status.borrow().worker_id.clone().expect("it is connected");
    fixture.workers().drain_worker(DrainWorkerRequest { worker_id }).await.expect("it is drained");
    running.status.wait_for(|status| status.is_draining).await.expect("it runs");
    let left = fixture.enqueue(&session, "brief").await;
    running.acts.gate.add_permits(1);
    let summary = running.task.join_next().await.expect("it runs").expect("no panic").expect("it was taken");
    assert_eq!((summary.drained_by, summary.succeeded), (DrainedBy::Operator, 1));
    assert_eq!(fixture.get(&run.id).await.status(), RunStatus::Succeeded);
    assert_eq!(fixture.get(&left.id).await.status(), RunStatus::Queued);
}
