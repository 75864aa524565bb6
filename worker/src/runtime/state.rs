//! The state of a worker, which one task owns.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::watch,
    task::{self, AbortHandle, JoinSet},
    time::Instant,
};
use tonic::transport::Endpoint;

use crate::{
    api::{
        config::WorkerConfig,
        handler::Handler,
        run_info::RunInfo,
        status::{WorkerStatus, WorkerSummary},
        stop::{Stop, StopReason},
    },
    dial::link::Link,
    grant::{
        capacity::Capacity, grants::Grants, key::GrantKey, outage::Outage, outcome::Outcome, pace::Pace,
        progress::ProgressCell, reports::Reports,
    },
    log::outbox::EventOutbox,
    runtime::{
        drain_times::Drain,
        stream_state::{DEFAULT_LEASE_TIMEOUT, Identity, StreamState},
    },
    telemetry::metrics::Metrics,
};

/// The input of a runtime.
pub(crate) struct Setup {
    pub(crate) config: WorkerConfig,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) kinds: Vec<String>,
    pub(crate) handlers: BTreeMap<String, Arc<dyn Handler>>,
    pub(crate) status: watch::Sender<WorkerStatus>,
    pub(crate) metrics: Metrics,
}

/// The state of a worker.
pub(crate) struct Runtime {
    pub(crate) setup: Setup,
    pub(crate) identity: Option<Identity>,
    /// How many `Hello`s the worker has sent. A server recognizes by the number a resume that the worker has given up.
    pub(crate) hellos: i64,
    pub(crate) lease_timeout: Duration,
    pub(crate) grants: Grants<Waiting>,
    pub(crate) capacity: Capacity,
    pub(crate) running: HashMap<GrantKey, Running>,
    /// Grants whose leases ended: their handlers are killed, but their tasks have not ended.
    pub(crate) lapsed: HashSet<GrantKey>,
    pub(crate) tasks: JoinSet<Outcome>,
    pub(crate) task_keys: HashMap<task::Id, GrantKey>,
    pub(crate) events: EventOutbox,
    pub(crate) reports: Reports,
    pub(crate) pace: Pace,
    pub(crate) stream: Option<StreamState>,
    pub(crate) drain: Option<Drain>,
    pub(crate) lease_check: Option<Instant>,
    pub(crate) outage: Outage,
    pub(crate) links: watch::Sender<Option<Link>>,
    pub(crate) summary: WorkerSummary,
}

/// A running handler.
pub(crate) struct Running {
    pub(crate) task: AbortHandle,
    pub(crate) stop: Arc<Stop>,
    pub(crate) progress: Arc<ProgressCell>,
    pub(crate) attempt: i32,
}

/// An accepted run that waits for its start.
pub(crate) struct Waiting {
    pub(crate) info: RunInfo,
    pub(crate) handler: Arc<dyn Handler>,
    /// Why the run can not be executed: its params are not JSON.
    pub(crate) invalid: Option<String>,
    /// The cancel that came before the start.
    pub(crate) cancelled: Option<StopReason>,
}

impl Runtime {
    pub(crate) fn new(setup: Setup) -> Self {
        Self {
            outage: Outage::new(setup.endpoints.len()),
            capacity: Capacity::new(setup.config.slots),
            setup,
            identity: None,
            hellos: 0,
            lease_timeout: DEFAULT_LEASE_TIMEOUT,
            grants: Grants::default(),
            running: HashMap::new(),
            lapsed: HashSet::new(),
            tasks: JoinSet::new(),
            task_keys: HashMap::new(),
            events: EventOutbox::default(),
            reports: Reports::default(),
            pace: Pace::default(),
            stream: None,
            drain: None,
            lease_check: None,
            links: watch::Sender::new(None),
            summary: WorkerSummary::default(),
        }
    }

    /// Slots for more runs. A killed handler holds its slot until its task ends. Outcomes beyond the number of slots hold slots
    /// too, so that outcomes stay bounded while no server takes them.
    pub(crate) fn free_slots(&self) -> usize {
        let slots = self.setup.config.slots;
        let waiting_outcomes = self.reports.len().saturating_sub(slots);
        let held = self.held_slots();
        slots.saturating_sub(held + waiting_outcomes).min(self.capacity.room(held))
    }

    /// Runs that wait for their start or whose task has not ended.
    pub(crate) fn held_slots(&self) -> usize {
        self.grants.assigned_count() + self.tasks.len()
    }
}
