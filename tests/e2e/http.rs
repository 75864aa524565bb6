//! The handler `http`, from the enqueue of a run to its result.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::any;
use handlers::{HttpConfig, Network};
use proto::v1::*;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use worker::{Worker, WorkerConfig};

use crate::support::{Fixture, in_time, spec};

/// A worker with the built-in handlers, which may call these addresses. It ends when the result is dropped.
fn worker(fixture: &Fixture, allow: &[&str]) -> JoinSet<()> {
    let allow = allow.iter().map(|network| network.parse::<Network>().expect("a range")).collect();
    let http = HttpConfig { allow, ..HttpConfig::default() };
    let worker = handlers::register(Worker::builder(WorkerConfig::new(fixture.address())), &http)
        .build()
        .expect("it is well configured");
    let mut task = JoinSet::new();
    task.spawn(async move { worker.run(CancellationToken::new()).await.map(drop).expect("a server takes it") });
    task
}

/// The requests that a site has seen.
#[derive(Clone)]
struct Seen {
    /// Requests for `/busy`.
    asked: Arc<AtomicUsize>,
    /// Requests for `/never` that arrived, and those that were aborted.
    come: Arc<Semaphore>,
    gone: Arc<Semaphore>,
}

/// `/busy` asks its client twice to retry after a second; `/never` never answers.
async fn site() -> (String, Seen, JoinSet<()>) {
    let closed = || Arc::new(Semaphore::new(0));
    let seen = Seen { asked: Arc::default(), come: closed(), gone: closed() };
    let site = Router::new().route("/busy", any(busy)).route("/never", any(never)).with_state(seen.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, site).await.expect("it serves") });
    (url, seen, serving)
}

async fn busy(State(seen): State<Seen>) -> (StatusCode, [(&'static str, &'static str); 1], &'static str) {
    match seen.asked.fetch_add(1, Ordering::SeqCst) {
        0 => (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "1")], ""),
        1 => (StatusCode::INTERNAL_SERVER_ERROR, [("x-a", "b")], "oops"),
        _ => (StatusCode::OK, [("content-type", "application/json")], r#"{"free": true}"#),
    }
}

async fn never(State(seen): State<Seen>) {
    /// The request was aborted.
    struct Gone(Arc<Semaphore>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.add_permits(1);
        }
    }
    let _gone = Gone(seen.gone);
    seen.come.add_permits(1);
    std::future::pending::<()>().await;
}

fn http(session: &str, params: &Value) -> RunSpec {
    RunSpec { params: Some(run_spec::Params::ParamsJson(params.to_string())), ..spec(session, "http") }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_requests_the_health_of_the_server_and_returns_the_answer() {
    let fixture = Fixture::new().await;
    let _worker = worker(&fixture, &["127.0.0.1"]);
    let url = format!("{}/healthz", fixture.servers[0].url);
    let run =
        fixture.enqueue_spec(http(&fixture.session().await, &json!({ "url": url }))).await.expect("it is enqueued");
    let ended = fixture.ended(&run.id).await;
    assert_eq!(ended.status(), RunStatus::Succeeded, "{ended:?}");
    let result: Value = serde_json::from_str(&ended.result_json).expect("it is JSON");
    assert_eq!((&result["status"], &result["url"]), (&json!(200), &json!(url)), "{result}");
    assert_eq!(result["address"], fixture.address(), "{result}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_a_forbidden_address_fails_permanently_and_sends_no_request() {
    let fixture = Fixture::new().await;
    let (url, seen, _serving) = site().await;
    let _worker = worker(&fixture, &["127.0.0.2", "10.0.0.0/8"]);
    let params = json!({ "url": format!("{url}/busy") });
    let spec = RunSpec { max_attempts: Some(5), ..http(&fixture.session().await, &params) };
    let ended = fixture.ended(&fixture.enqueue_spec(spec).await.expect("it is enqueued").id).await;
    let error = ended.error.clone().expect("it has failed");
    assert_eq!((ended.status(), ended.attempt, error.r#type.as_str()), (RunStatus::Failed, 1, "HttpForbiddenAddress"));
    assert_eq!(seen.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_waits_for_retry_after_and_spends_no_attempt_on_it() {
    let fixture = Fixture::new().await;
    let (url, seen, _serving) = site().await;
    let _worker = worker(&fixture, &["127.0.0.1"]);
    let params = json!({ "url": format!("{url}/busy") });
    let spec = RunSpec { max_attempts: Some(2), ..http(&fixture.session().await, &params) };
    let ended = fixture.ended(&fixture.enqueue_spec(spec).await.expect("it is enqueued").id).await;
    let result: Value = serde_json::from_str(&ended.result_json).expect("it is JSON");
    assert_eq!((ended.status(), ended.attempt, &result["body"]), (RunStatus::Succeeded, 2, &json!({ "free": true })));
    assert_eq!(seen.asked.load(Ordering::SeqCst), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_aborts_its_request() {
    let fixture = Fixture::new().await;
    let (url, seen, _serving) = site().await;
    let _worker = worker(&fixture, &["127.0.0.1"]);
    let params = json!({ "url": format!("{url}/never"), "timeout": "1h" });
    let run = fixture.enqueue_spec(http(&fixture.session().await, &params)).await.expect("it is enqueued");
    in_time("the request", seen.come.acquire()).await.expect("it stays").forget();
    fixture.cancel(&run.id).await;
    in_time("the end of the request", seen.gone.acquire()).await.expect("it stays").forget();
    let ended = fixture.ended(&run.id).await;
    assert_eq!(ended.status(), RunStatus::Cancelled, "{ended:?}");
    assert!(ended.cancellation.expect("it was cancelled").confirmed(), "by its worker");
}
