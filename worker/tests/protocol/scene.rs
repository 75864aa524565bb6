//! A worker with scripted handlers, and the state that tests share with them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use proto::v1::{self, connect_request::Frame as FromWorker, outcome::Outcome};
use serde_json::{Value, json};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use worker::{
    ArtifactContent, Handler, HandlerError, Level, RunContext, Worker, WorkerConfig, WorkerError, WorkerStatus,
    WorkerSummary,
};

use crate::fake::{FakeServer, FakeStream};

pub const MINUTE: Duration = Duration::from_secs(60);

/// The result of a run of the kind `large`.
pub const LARGE_BYTES: usize = 500_000;

/// The state that a test shares with its handlers.
#[derive(Clone)]
pub struct Scene {
    pub started: Arc<AtomicUsize>,
    pub dropped: Arc<Semaphore>,
    pub gate: Arc<Semaphore>,
}

impl Default for Scene {
    fn default() -> Self {
        let closed = || Arc::new(Semaphore::new(0));
        Self { started: Arc::default(), dropped: closed(), gate: closed() }
    }
}

/// Adds a permit when the future of a handler is dropped.
struct Dropped(Arc<Semaphore>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

#[async_trait]
impl Handler for Scene {
    async fn run(&self, ctx: RunContext) -> Result<Value, HandlerError> {
        self.started.fetch_add(1, Ordering::SeqCst);
        let _dropped = Dropped(Arc::clone(&self.dropped));
        match ctx.kind() {
            "panic" => panic!("boom"),
            "flood" => loop {
                ctx.log(Level::Info, "x".repeat(1000)).await;
            },
            "obey" => {
                tokio::select! {
                    biased;
                    _ = ctx.cancelled() => return Err(HandlerError::Cancelled),
                    permit = self.gate.acquire() => permit?.forget(),
                }
            }
            "log" => ctx.log(Level::Info, "line").await,
            "large" => {
                self.gate.acquire().await?.forget();
                return Ok(json!("x".repeat(LARGE_BYTES)));
            }
            "keep" => {
                ctx.artifact("a", "report", ArtifactContent::Text("x".into())).await.expect("it is kept");
            }
            _ => self.gate.acquire().await?.forget(),
        }
        Ok(json!("done"))
    }
}

pub struct Running {
    pub scene: Scene,
    pub shutdown: CancellationToken,
    pub status: watch::Receiver<WorkerStatus>,
    worker: JoinSet<Result<WorkerSummary, WorkerError>>,
}

impl Running {
    pub fn start(server: &FakeServer, slots: usize, drain_timeout: Duration) -> Self {
        Self::start_at(vec![server.address.to_string()], slots, drain_timeout)
    }

    pub fn start_at(servers: Vec<String>, slots: usize, drain_timeout: Duration) -> Self {
        let (scene, shutdown) = (Scene::default(), CancellationToken::new());
        let config = WorkerConfig { servers, slots, drain_timeout, ..WorkerConfig::new("") };
        let mut builder = Worker::builder(config);
        for kind in ["wait", "panic", "flood", "log", "obey", "keep", "large"] {
            builder = builder.handler(kind, scene.clone());
        }
        let mut worker = JoinSet::new();
        let built = builder.build().unwrap();
        let status = built.subscribe();
        worker.spawn(built.run(shutdown.clone()));
        Self { scene, shutdown, status, worker }
    }

    pub async fn wait_for_start(&mut self) {
        self.status.wait_for(|status| status.running > 0).await.unwrap();
    }

    pub async fn result(mut self) -> Result<WorkerSummary, WorkerError> {
        self.worker.join_next().await.unwrap().unwrap()
    }

    pub async fn shut_down(self, mut stream: FakeStream) -> WorkerSummary {
        self.shutdown.cancel();
        stream.expect(|frame| matches!(frame, FromWorker::Goodbye(_)).then_some(())).await;
        assert_eq!(stream.next().await, None, "a half-close follows a goodbye");
        drop(stream);
        self.result().await.unwrap()
    }
}

pub fn welcome(standing: &[v1::Lease]) -> v1::Welcome {
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    v1::Welcome {
        worker_id: "w1".into(),
        secret: "s1".into(),
        stream_epoch: 1,
        heartbeat_interval: seconds(5),
        lease_timeout: seconds(30),
        event_credits: 10,
        standing: standing.to_vec(),
        settled: Vec::new(),
    }
}

pub fn lease(run: u8) -> v1::Lease {
    v1::Lease { run_id: format!("01900000-0000-7000-8000-0000000000{run:02x}"), fence: 1 }
}

pub fn outcome(report: &v1::RunReport) -> &Outcome {
    report.outcome.as_ref().unwrap().outcome.as_ref().unwrap()
}
