//! How long many things took.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::figure::Figure;

/// Nanoseconds since this process first asked, to be carried through a server in a text.
pub fn now() -> u64 {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    u64::try_from(BEGIN.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Durations, in microseconds to three digits.
#[derive(Debug)]
pub struct Times(Mutex<Histogram<u64>>);

impl Default for Times {
    fn default() -> Self {
        // From a microsecond to an hour is within what three digits can tell.
        Self(Mutex::new(Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("the bounds are in order")))
    }
}

impl Times {
    /// Adds what began at this moment of [`now`] and ends here.
    pub fn add_since(&self, began: u64) {
        self.add(Duration::from_nanos(now().saturating_sub(began)));
    }

    pub fn add(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(micros);
    }

    pub fn len(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// A percentile, in milliseconds.
    pub fn percentile(&self, percentile: f64) -> f64 {
        let histogram = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        histogram.value_at_percentile(percentile) as f64 / 1_000.0
    }

    /// Half of all took no longer, and 99 of 100.
    pub fn figures(&self, what: &str) -> [Figure; 2] {
        let figure = |name, percentile| Figure::new(format!("{what}, {name}"), "ms", self.percentile(percentile));
        [figure("p50", 50.0), figure("p99", 99.0)]
    }
}
