//! The metrics that are read when somebody scrapes them. Reading them waits for nothing.

use std::sync::Arc;

use crate::telemetry::process;
use engine::Engine;
use engine::db::Class;
use engine::repair::status::Repairs;
use engine::wakeups::Topic;

/// Renders the metrics.
#[derive(Debug, Clone)]
pub struct Observe {
    engine: Arc<Engine>,
    repairs: Repairs,
}

impl Observe {
    pub fn new(engine: Arc<Engine>, repairs: Repairs) -> Self {
        Self { engine, repairs }
    }

    /// All metrics with their present values, in the text format of Prometheus.
    pub fn now(&self) -> String {
        let (engine, metrics) = (&self.engine, &self.engine.metrics);
        let streams = engine.registry.all();
        metrics.streams.set(signed(streams.len()));
        metrics.grants_held.set(signed(streams.iter().map(|stream| stream.grants().count()).sum()));
        metrics.offered_bytes.set(signed(engine.offers.bytes()));
        let (watchers, unread) = engine.hub.watchers();
        metrics.watchers.set(signed(watchers));
        metrics.feed_age_seconds.set(unread.as_secs_f64());
        metrics.sample_age_seconds.set(metrics.sampled_ago().as_secs_f64());
        for (topic, name) in [
            (Topic::Work, "work"),
            (Topic::Orders, "cancels"),
            (Topic::Changes, "changes"),
            (Topic::Streams, "streams"),
        ] {
            let wakeups = metrics.wakeups.with_label_values(&[name]);
            wakeups.inc_by(engine.wakeups.given(topic).saturating_sub(wakeups.get()));
        }
        for repair in self.repairs.iter() {
            metrics.repair_failing.with_label_values(&[repair.name]).set(repair.is_failing().into());
            metrics.repair_age_seconds.with_label_values(&[repair.name]).set(repair.age().as_secs_f64());
        }
        let (connections, idle) = engine.db(Class::Engine).connections();
        metrics.database_connections.with_label_values(&["idle"]).set(signed(idle));
        metrics.database_connections.with_label_values(&["busy"]).set(signed(connections.saturating_sub(idle)));
        let (abandoned, ever_abandoned) = engine.db(Class::Engine).abandoned();
        metrics.database_abandoned.set(signed(abandoned));
        metrics.database_abandonments.inc_by(ever_abandoned.saturating_sub(metrics.database_abandonments.get()));
        metrics.database_units.set(signed(engine.db(Class::Engine).units()));
        if let Some(usage) = process::usage() {
            let cpu = &metrics.process_cpu_seconds;
            cpu.inc_by((usage.cpu_seconds - cpu.get()).max(0.0));
            metrics.process_resident_bytes.set(usage.resident_bytes);
            metrics.process_open_fds.set(usage.open_fds);
            metrics.process_threads.set(usage.threads);
            metrics.process_start_seconds.set(usage.start_seconds);
        }
        metrics.render()
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
