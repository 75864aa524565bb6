//! The worker: it is built from a configuration and handlers, and runs until its shutdown.

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

/// Builds a [`Worker`] from a configuration and handlers.
pub struct WorkerBuilder {
    config: WorkerConfig,
    handlers: BTreeMap<String, Arc<dyn Handler>>,
    /// Violations in the configuration of handlers.
    violations: Vec<String>,
}

impl Worker {
    /// A builder without handlers.
    pub fn builder(config: WorkerConfig) -> WorkerBuilder {
        WorkerBuilder { config, handlers: BTreeMap::new(), violations: Vec::new() }
    }

    /// The status of the worker, from now on.
    pub fn subscribe(&self) -> watch::Receiver<WorkerStatus> {
        self.status.subscribe()
    }

    /// Serves health and metrics of the worker.
    pub fn monitor(&self) -> Monitor {
        let (name, status) = (self.config.name.clone(), self.subscribe());
        Monitor { name, begun: Instant::now(), status, metrics: self.metrics.clone() }
    }

    /// The kinds that the worker takes.
    pub fn kinds(&self) -> &[String] {
        &self.kinds
    }

    /// Executes runs until `shutdown` is cancelled or an operator drains the worker. Then the worker takes no more runs, lets
    /// handlers finish, waits until the server has acknowledged all reports, and says goodbye.
    ///
    /// A shutdown is bounded, even during an operator's drain: the worker stops handlers in time, and leaves within `drain_timeout`,
    /// or a second later if a handler blocks its thread. An operator's drain alone waits for the handlers without a limit; the
    /// operator can cancel their runs. Dropping the future kills all handlers, and reports nothing.
    ///
    /// # Errors
    /// `Refused` if the first server that answers refuses this worker for good. An unreachable server is not an error: the
    /// worker tries again until the shutdown.
    pub async fn run(self, shutdown: CancellationToken) -> Result<WorkerSummary, WorkerError> {
        let Self { config, endpoints, kinds, handlers, status, metrics } = self;
        Box::pin(Runtime::new(Setup { config, endpoints, kinds, handlers, status, metrics }).run(shutdown)).await
    }
}

impl WorkerBuilder {
    /// Registers the handler of a kind. The last handler for a kind counts.
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

    /// Checks the whole configuration.
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
