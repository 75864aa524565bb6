//! Real workers, with handlers that are closures.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use worker::{Handler, HandlerError, RunContext, Worker, WorkerConfig, WorkerSummary};

use super::{Server, in_time};

/// A handler made of a closure.
#[derive(Clone)]
pub struct Handle(Arc<dyn Fn(RunContext) -> BoxFuture<'static, Result<Value, HandlerError>> + Send + Sync>);

impl Handle {
    pub fn new<F>(handle: impl Fn(RunContext) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Value, HandlerError>> + Send + 'static,
    {
        Self(Arc::new(move |context| Box::pin(handle(context))))
    }
}

#[async_trait]
impl Handler for Handle {
    async fn run(&self, context: RunContext) -> Result<Value, HandlerError> {
        (self.0)(context).await
    }
}

/// A worker that runs.
pub struct LiveWorker {
    stop: CancellationToken,
    task: JoinSet<WorkerSummary>,
}

impl LiveWorker {
    /// Starts a worker of these servers for one kind.
    pub fn start(servers: &[&Server], slots: usize, kind: &str, handle: &Handle) -> Self {
        Self::start_at(servers.iter().map(|server| server.url.clone()).collect(), slots, kind, handle)
    }

    /// Starts a worker of the servers at these addresses.
    pub fn start_at(servers: Vec<String>, slots: usize, kind: &str, handle: &Handle) -> Self {
        let mut config = WorkerConfig::new("");
        config.servers = servers;
        config.slots = slots;
        let worker = Worker::builder(config).handler(kind, handle.clone()).build().expect("a valid configuration");
        let stop = CancellationToken::new();
        let shutdown = stop.clone();
        let mut task = JoinSet::new();
        task.spawn(async move { worker.run(shutdown).await.expect("a server takes the worker") });
        Self { stop, task }
    }

    /// Lets the worker finish its runs, and returns its summary.
    pub async fn stop(mut self) -> WorkerSummary {
        self.stop.cancel();
        let ended = in_time("the end of a worker", self.task.join_next()).await.expect("it runs");
        ended.expect("the worker does not panic")
    }
}
