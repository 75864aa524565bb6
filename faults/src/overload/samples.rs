//! How long things took.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Every time that was taken, from any thread.
#[derive(Debug, Default)]
pub(super) struct Samples(Mutex<Vec<Duration>>);

impl Samples {
    pub(super) fn add(&self, took: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(took);
    }

    pub(super) fn take(&self) -> Times {
        let mut all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        all.sort_unstable();
        Times(all)
    }
}

/// Times in order.
#[derive(Debug)]
pub struct Times(Vec<Duration>);

impl Times {
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The time that this part of all did not exceed, 0 to 1; zero if there is none.
    pub fn quantile(&self, part: f64) -> Duration {
        let last = self.0.len().saturating_sub(1);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1 of a length")]
        let index = (last as f64 * part).round() as usize;
        self.0.get(index).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_what_was_added_in_any_order() {
        let samples = Samples::default();
        (0..=100).rev().for_each(|millis| samples.add(Duration::from_millis(millis)));
        let times = samples.take();
        assert_eq!((times.count(), times.quantile(0.5), times.quantile(0.99)), (101, ms(50), ms(99)));
        assert_eq!((times.quantile(0.0), times.quantile(1.0)), (ms(0), ms(100)));
        assert_eq!(samples.take().quantile(0.5), ms(0), "there is none");
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }
}
