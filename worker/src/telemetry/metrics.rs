//! The metrics of a worker, for Prometheus. docs/observability.md lists them.

use prometheus::{
    Encoder, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
    core::{Atomic, Collector, GenericCounter},
};

use crate::api::status::WorkerSummary;

/// The metrics of a worker. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) slots: IntGauge,
    pub(crate) running: IntGauge,
    pub(crate) connected: IntGauge,
    pub(crate) draining: IntGauge,
    pub(crate) paused: IntGauge,
    pub(crate) reports_waiting: IntGauge,
    pub(crate) events_waiting: IntGauge,
    events_dropped: IntCounter,
    connects: IntCounter,
    started: IntCounter,
    ended: IntCounterVec,
}

impl Metrics {
    /// All metrics, at zero.
    pub(crate) fn new(slots: usize) -> Self {
        let registry = Registry::new();
        let gauge = |name: &str, help: &str| keep(&registry, IntGauge::new(name, help));
        let counter = |name: &str, help: &str| keep(&registry, IntCounter::new(name, help));
        let build = Opts::new("ops_build_info", "Always 1; the version is in the label");
        keep(&registry, IntGauge::with_opts(build.const_label("version", env!("CARGO_PKG_VERSION")))).set(1);
        let ended = Opts::new("ops_worker_runs_ended_total", "Runs that ended, once the server has answered");
        let metrics = Self {
            slots: gauge("ops_worker_slots", "Runs that it may execute at the same time"),
            running: gauge("ops_worker_running", "Runs that it executes now"),
            connected: gauge("ops_worker_connected", "1 while it has a stream, else 0"),
            draining: gauge("ops_worker_draining", "1 once it takes no more runs, else 0"),
            paused: gauge("ops_worker_paused", "1 while it takes no runs because it lacks what they need, else 0"),
            reports_waiting: gauge("ops_worker_reports_waiting", "Outcomes that no server has acknowledged"),
            events_waiting: gauge("ops_worker_events_waiting", "Log events that no server has acknowledged"),
            events_dropped: counter("ops_worker_events_dropped_total", "Log events that were refused or given up"),
            connects: counter("ops_worker_connects_total", "Times that a server has welcomed it"),
            started: counter("ops_worker_runs_started_total", "Runs that it has begun"),
            ended: keep(&registry, IntCounterVec::new(ended, &["outcome"])),
            registry,
        };
        metrics.slots.set(i64::try_from(slots).unwrap_or(i64::MAX));
        metrics.count(&WorkerSummary::default(), 0);
        metrics
    }

    /// Raises the counters to these totals.
    pub(crate) fn count(&self, done: &WorkerSummary, events_dropped: u64) {
        raise(&self.started, done.started);
        raise(&self.connects, done.connects);
        raise(&self.events_dropped, events_dropped);
        for (outcome, count) in [
            ("succeeded", done.succeeded),
            ("failed", done.failed),
            ("cancelled", done.cancelled),
            ("snoozed", done.snoozed),
            ("given_back", done.given_back),
            ("lost", done.lost),
            ("refused", done.refused),
        ] {
            raise(&self.ended.with_label_values(&[outcome]), count);
        }
    }

    /// All metrics in the text format of Prometheus.
    pub(crate) fn render(&self) -> String {
        let mut text = Vec::new();
        // Encoding fails only for families that the registry refuses.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8(text).unwrap_or_default()
    }
}

/// Registers a family. Names and labels are constants that tests cover, so neither step can fail.
fn keep<C: Collector + Clone + 'static>(registry: &Registry, family: prometheus::Result<C>) -> C {
    let family = family.expect("a metric's definition is right");
    registry.register(Box::new(family.clone())).expect("a metric's name is used once");
    family
}

fn raise<P: Atomic<T = u64>>(counter: &GenericCounter<P>, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}
