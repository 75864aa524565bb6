//! Durations, and their percentiles.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::figure::Figure;

/// Nanoseconds since the first call in this process: a time that can be sent through a server as a number.
pub fn now() -> u64 {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    u64::try_from(BEGIN.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Durations, in microseconds with three significant digits.
#[derive(Debug)]
pub struct Times(Mutex<Histogram<u64>>);

impl Default for Times {
    fn default() -> Self {
        // From a microsecond to an hour.
        Self(Mutex::new(Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("the bounds are in order")))
    }
}

impl Times {
    /// Adds the time since this value of [`now`].
    pub fn add_since(&self, began: u64) {
        self.add(Duration::from_nanos(now().saturating_sub(began)));
    }

    pub fn add(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(micros);
    }

    /// Removes all durations.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).reset();
    }

    pub fn len(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// A percentile, in milliseconds.
    pub fn percentile(&self, percentile: f64) -> f64 {
        let histogram = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        histogram.value_at_percentile(percentile) as f64 / 1_000.0
    }

    /// The median and the 99th percentile.
    pub fn figures(&self, what: &str) -> [Figure; 2] {
        let figure = |name, percentile| Figure::new(format!("{what}, {name}"), "ms", self.percentile(percentile));
        [figure("p50", 50.0), figure("p99", 99.0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_all_durations_in_any_order() {
        let times = Times::default();
        (0..=100).rev().for_each(|millis| times.add(Duration::from_millis(millis)));
        let near = |percentile, millis: f64| (times.percentile(percentile) - millis).abs() <= millis / 1_000.0;
        assert!(times.len() == 101 && near(50.0, 50.0) && near(99.0, 99.0) && near(100.0, 100.0), "{times:?}");
        times.clear();
        assert_eq!((times.len(), times.percentile(50.0)), (0, 0.0));
    }
}
