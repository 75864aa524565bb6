//! The worker as its owner sees it: built from a configuration and handlers, run until it is told to stop.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;

use crate::{
    api::{
        config::WorkerConfig,
        error::WorkerError,
        handler::Handler,
        status::{WorkerStatus, WorkerSummary},
    },
    runtime::state::{Runtime, Setup},
    telemetry::{metrics::Metrics, monitor::Monitor},
};

/// Executes runs. Built by [`Worker::builder`].
pub struct Worker {
    config: WorkerConfig,
    endpoints: Vec<Endpoint>,
    kinds: Vec<String>,
    handlers: BTreeMap<String, Arc<dyn Handler>>,
    status: watch::Sender<WorkerStatus>,
    metrics: Metrics,
}

/// Collects what a worker is made of.
pub struct WorkerBuilder {
    config: WorkerConfig,
    handlers: BTreeMap<String, Arc<dyn Handler>>,
    /// What is wrong with a handler's own configuration.
    violations: Vec<String>,
}

impl Worker {
    /// Starts to collect.
    pub fn builder(config: WorkerConfig) -> WorkerBuilder {
        WorkerBuilder { config, handlers: BTreeMap::new(), violations: Vec::new() }
    }

    /// How the worker stands, from now on.
    pub fn subscribe(&self) -> watch::Receiver<WorkerStatus> {
        self.status.subscribe()
    }

    /// Says how the worker is, from now on, on a port.
    pub fn monitor(&self) -> Monitor {
        let (name, status) = (self.config.name.clone(), self.subscribe());
        Monitor { name, begun: Instant::now(), status, metrics: self.metrics.clone() }
    }

    /// The kinds that it takes.
    pub fn kinds(&self) -> &[String] {
        &self.kinds
    }

    /// Executes runs until `shutdown` is cancelled or an operator drains the worker. Then it takes no more, lets handlers
    /// finish, waits until all reports are acknowledged, and says goodbye. After a shutdown, also one that comes during an
    /// operator's drain, that is bounded: handlers that have not finished within `drain_timeout` are stopped, and the worker
    /// leaves at most 25 s after that. An operator's drain alone takes as long as the handlers do, whose runs can be
    /// cancelled. Dropping the future kills what runs, and reports nothing.
    ///
    /// # Errors
    /// `Refused` if the first server that answers does not take this worker at all. An unreachable server is not an error:
    /// it is tried again until the shutdown.
    pub async fn run(self, shutdown: CancellationToken) -> Result<WorkerSummary, WorkerError> {
        let Self { config, endpoints, kinds, handlers, status, metrics } = self;
        Box::pin(Runtime::new(Setup { config, endpoints, kinds, handlers, status, metrics }).run(shutdown)).await
    }
}

impl WorkerBuilder {
    /// Registers the handler of a kind; the last one for a kind counts.
    #[must_use]
    pub fn handler(mut self, kind: impl Into<String>, handler: impl Handler) -> Self {
        self.handlers.insert(kind.into(), Arc::new(handler));
        self
    }

    /// Records that the configuration of a handler is wrong, as `field: reason`. [`Self::build`] then fails, and names this
    /// together with everything else that is wrong.
    #[must_use]
    pub fn violation(mut self, violation: impl Into<String>) -> Self {
        self.violations.push(violation.into());
        self
    }

    /// Checks everything.
    ///
    /// # Errors
    /// `Config` with all violations.
    pub fn build(self) -> Result<Worker, WorkerError> {
        let registered: Vec<&str> = self.handlers.keys().map(String::as_str).collect();
        let (endpoints, kinds) = match (self.config.check(&registered), self.violations) {
            (Ok(checked), violations) if violations.is_empty() => checked,
            (Err(WorkerError::Config(found)), violations) => {
                return Err(WorkerError::Config([violations, found].concat()));
            }
            (Ok(_), violations) => return Err(WorkerError::Config(violations)),
            (Err(error), _) => return Err(error),
        };
        let metrics = Metrics::new(self.config.slots);
        let (status, handlers) = (watch::Sender::default(), self.handlers);
        Ok(Worker { config: self.config, endpoints, kinds, handlers, status, metrics })
    }
}
