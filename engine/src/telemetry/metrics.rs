//! The metrics of a server. Most are counted or measured where the event happens; the server's `telemetry/observe.rs` sets the others at
//! a scrape. docs/observability.md has the table of all metrics.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use prometheus::core::Collector;
use prometheus::{
    Counter, Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::domain::{Lane, Run, RunStatus};

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// From a millisecond to ten seconds: how long calls and batches take.
const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// From a wakeup to a day: how long runs wait for a worker.
const WAIT_SECONDS: [f64; 13] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0, 1_800.0, 10_800.0, 86_400.0];
/// From one item to the largest batch.
const SIZES: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 2_000.0];

/// The batchers, by name.
pub const BATCHERS: [&str; 4] = ["enqueue", "results", "leases", "events"];
/// How a grant may end.
pub const OUTCOMES: [&str; 5] = ["succeeded", "failed", "cancelled", "requeued", "lost"];

/// The states of a run that has not ended.
pub const STATES: [&str; 5] = ["ready", "scheduled", "undelivered", "claimed", "running"];

/// The metrics of a server. Clones share them.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Families>);

/// The metric families. Labels have only the values that docs/observability.md names.
#[derive(Debug)]
pub struct Families {
    registry: Registry,
    pub calls: IntCounterVec,
    pub call_seconds: HistogramVec,
    pub runs_enqueued: IntCounter,
    pub runs_claimed: IntCounter,
    pub runs_started: IntCounter,
    pub grants_ended: IntCounterVec,
    pub queue_seconds: Histogram,
    pub claim_seconds: Histogram,
    pub claim_turns_missed: IntCounter,
    pub batch_requests: HistogramVec,
    pub batch_seconds: HistogramVec,
    pub cancel_seconds: Histogram,
    pub lease_checks: IntCounter,
    pub lease_service_resumed: IntCounter,
    pub clock_set_back: IntCounter,
    pub wakeups: IntCounterVec,
    pub streams: IntGauge,
    pub grants_held: IntGauge,
    pub offered_bytes: IntGauge,
    pub watchers: IntGauge,
    pub feed_age_seconds: Gauge,
    pub runs: IntGaugeVec,
    pub ready_age_seconds: GaugeVec,
    pub sample_age_seconds: Gauge,
    sampled_at: Mutex<Instant>,
    pub foreign_transaction_seconds: Gauge,
    pub foreign_snapshot_transactions: IntGauge,
    pub repair_seconds: HistogramVec,
    pub repair_failures: IntCounterVec,
    pub repair_failing: IntGaugeVec,
    pub repair_age_seconds: GaugeVec,
    pub database_answers: IntGauge,
    pub database_connections: IntGaugeVec,
    pub database_abandoned: IntGauge,
    pub database_abandonments: IntCounter,
    pub database_units: IntGauge,
    pub process_cpu_seconds: Counter,
    pub process_resident_bytes: IntGauge,
    pub process_open_fds: IntGauge,
    pub process_threads: IntGauge,
    pub process_start_seconds: IntGauge,
}

impl std::ops::Deref for Metrics {
    type Target = Families;

    fn deref(&self) -> &Families {
        &self.0
    }
}

/// Makes families and registers them. The names are constants that tests check, so neither step can fail.
struct Maker(Registry);

impl Maker {
    fn keep<C: Collector + Clone + 'static>(&self, family: prometheus::Result<C>) -> C {
        let family = family.expect("a metric's definition is right");
        self.0.register(Box::new(family.clone())).expect("a metric's name is used once");
        family
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.keep(IntCounter::new(name, help))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.keep(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.keep(IntGauge::new(name, help))
    }

    fn seconds(&self, name: &str, help: &str) -> Gauge {
        self.keep(Gauge::new(name, help))
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.keep(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
    }

    fn histograms(&self, name: &str, help: &str, buckets: &[f64], labels: &[&str]) -> HistogramVec {
        self.keep(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels))
    }
}

impl Default for Metrics {
    /// All metrics at zero.
    fn default() -> Self {
        let registry = Registry::new();
        let make = Maker(registry.clone());
        let build = Opts::new("ops_build_info", "Always 1; the version is in the label")
            .const_label("version", env!("CARGO_PKG_VERSION"));
        make.keep(IntGauge::with_opts(build)).set(1);
        let families = Families {
            registry,
            calls: make.counters("ops_calls_total", "Unary calls that were answered", &["method", "code"]),
            call_seconds: make.histograms("ops_call_seconds", "How long unary calls took", &SECONDS, &["method"]),
            runs_enqueued: make.counter("ops_runs_enqueued_total", "Runs that were enqueued through this server"),
            runs_claimed: make.counter("ops_runs_claimed_total", "Runs that this server gave to workers"),
            runs_started: make.counter("ops_runs_started_total", "Runs that this server ordered workers to start"),
            grants_ended: make.counters("ops_grants_ended_total", "Grants whose end this server wrote", &["outcome"]),
            queue_seconds: make.histogram(
                "ops_queue_seconds",
                "From when a run was due until it was claimed",
                &WAIT_SECONDS,
            ),
            claim_seconds: make.histogram("ops_claim_seconds", "How long batches of claims took", &SECONDS),
            claim_turns_missed: make
                .counter("ops_claim_turns_missed_total", "Turns to claim that did not come in time"),
            batch_requests: make.histograms("ops_batch_requests", "Requests in a batch", &SIZES, &["batcher"]),
            batch_seconds: make.histograms("ops_batch_seconds", "How long batches took", &SECONDS, &["batcher"]),
            cancel_seconds: make.histogram(
                "ops_cancel_seconds",
                "From when a cancel was requested until it was sent to its worker",
                &SECONDS,
            ),
            lease_checks: make.counter("ops_lease_checks_total", "Times that this server checked the leases"),
            lease_service_resumed: make
                .counter("ops_lease_service_resumed_total", "Times that leases began anew after an outage"),
            clock_set_back: make
                .counter("ops_database_clock_set_back_total", "Times that the clock of the database had gone back"),
            wakeups: make.counters("ops_wakeups_total", "Wakeups that this server gave", &["topic"]),
            streams: make.gauge("ops_streams", "Streams of workers that are open at this server"),
            grants_held: make.gauge("ops_grants_held", "Grants of these streams"),
            offered_bytes: make
                .gauge("ops_offered_bytes", "Bytes of runs that workers were sent and have not accepted yet"),
            watchers: make.gauge("ops_watchers", "Watches, waits and tails at this server"),
            feed_age_seconds: make
                .seconds("ops_feed_age_seconds", "Since the change feed was read last, while somebody watches"),
            runs: make.keep(IntGaugeVec::new(
                Opts::new("ops_runs", "Runs that have not ended, counted up to 10000"),
                &["state", "lane"],
            )),
            ready_age_seconds: make.keep(GaugeVec::new(
                Opts::new("ops_ready_age_seconds", "How long the oldest counted ready run is due"),
                &["lane"],
            )),
            sample_age_seconds: make.seconds(
                "ops_sample_age_seconds",
                "Since the database was asked for the runs and foreign transactions",
            ),
            sampled_at: Mutex::new(Instant::now()),
            foreign_transaction_seconds: make.seconds(
                "ops_foreign_transaction_seconds",
                "The age of the oldest transaction of others in the database",
            ),
            foreign_snapshot_transactions: make.gauge(
                "ops_foreign_snapshot_transactions",
                "The age of the oldest snapshot of others, in transactions",
            ),
            repair_seconds: make.histograms(
                "ops_repair_seconds",
                "How long tries of repairs took",
                &SECONDS,
                &["repair"],
            ),
            repair_failures: make.counters("ops_repair_failures_total", "Tries of repairs that failed", &["repair"]),
            repair_failing: make.keep(IntGaugeVec::new(
                Opts::new(
                    "ops_repair_failing",
                    "1 if the last try of a repair failed and there is something to do, else 0",
                ),
                &["repair"],
            )),
            repair_age_seconds: make.keep(GaugeVec::new(
                Opts::new("ops_repair_age_seconds", "Since a repair succeeded last or had nothing to do"),
                &["repair"],
            )),
            database_answers: make
                .gauge("ops_database_answers", "1 if the database took the write of the last probe, else 0"),
            database_connections: make
                .keep(IntGaugeVec::new(Opts::new("ops_database_connections", "Connections in the pool"), &["state"])),
            database_abandoned: make.gauge(
                "ops_database_abandoned",
                "Processes of the database that missed a deadline and may not have ended",
            ),
            database_abandonments: make.counter(
                "ops_database_abandoned_total",
                "Processes of the database that were given up after a deadline or a lost connection",
            ),
            database_units: make
                .gauge("ops_database_units", "Units of database work that run, or wait for a connection"),
            process_cpu_seconds: make.keep(Counter::new("process_cpu_seconds_total", "Processor time that was used")),
            process_resident_bytes: make.gauge("process_resident_memory_bytes", "Memory that is resident"),
            process_open_fds: make.gauge("process_open_fds", "File descriptors that are open"),
            process_threads: make.gauge("process_threads", "Threads"),
            process_start_seconds: make.gauge("process_start_time_seconds", "When the process began, since the epoch"),
        };
        for batcher in BATCHERS {
            families.batch_requests.with_label_values(&[batcher]);
            families.batch_seconds.with_label_values(&[batcher]);
        }
        for outcome in OUTCOMES {
            families.grants_ended.with_label_values(&[outcome]);
        }
        Self(Arc::new(families))
    }
}

impl Metrics {
    /// Measures the batches of a batcher.
    pub fn measured<I, F, W>(
        &self,
        batcher: &'static str,
        work: W,
    ) -> impl Fn(Vec<I>) -> BoxFuture<'static, F::Output> + Send + use<I, F, W>
    where
        F: Future + Send + 'static,
        W: Fn(Vec<I>) -> F + Send,
    {
        let requests = self.batch_requests.with_label_values(&[batcher]);
        let seconds = self.batch_seconds.with_label_values(&[batcher]);
        move |batch: Vec<I>| {
            requests.observe(batch.len() as f64);
            let (seconds, began, batch) = (seconds.clone(), Instant::now(), work(batch));
            Box::pin(async move {
                let done = batch.await;
                seconds.observe(began.elapsed().as_secs_f64());
                done
            })
        }
    }

    /// Counts the runs of a claim. For unary calls the claim also starts them.
    pub fn claimed(&self, runs: &[Run]) {
        self.runs_claimed.inc_by(runs.len() as u64);
        self.runs_started.inc_by(runs.iter().filter(|run| run.status == RunStatus::Running).count() as u64);
        for run in runs {
            let due = run.run_after.max(run.created_at);
            let waited = run.grant.as_ref().and_then(|grant| (grant.claimed_at - due).to_std().ok());
            self.queue_seconds.observe(waited.unwrap_or_default().as_secs_f64());
        }
    }

    /// Sets how many runs are in each state and lane, and how long the oldest ready one is due.
    pub fn sampled(&self, count: impl Fn(&str, &str) -> (i64, Option<f64>)) {
        for lane in Lane::ALL {
            for state in STATES {
                let (runs, age) = count(state, lane.as_str());
                self.runs.with_label_values(&[state, lane.as_str()]).set(runs);
                if state == STATES[0] {
                    self.ready_age_seconds.with_label_values(&[lane.as_str()]).set(age.unwrap_or_default());
                }
            }
        }
        *self.sampled_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long ago the last sample was taken.
    pub fn sampled_ago(&self) -> Duration {
        self.sampled_at.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Counts grants whose end was written.
    pub fn grant_ended(&self, outcome: &str, count: usize) {
        self.grants_ended.with_label_values(&[outcome]).inc_by(count as u64);
    }

    /// All metrics as text that Prometheus reads.
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        // Encoding fails only for families that the registry refuses.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8(text).unwrap_or_default()
    }
}
